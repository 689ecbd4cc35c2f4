#!/usr/bin/env python3
"""run_fuzzers.py REPORTS SECONDS BINARY... - runs each fuzzer that long, or for FUZZ_EXECUTIONS inputs if that is less.

What a fuzzer finds lies in build/fuzz/<name>/; inputs worth keeping belong in cpp/test/corpus/<name>/, which every
run reads first. `--keep BINARY...` puts there the fewest inputs that reach all that either reaches.
"""
import json
import os
import re
import subprocess
import sys
import time

# Longer inputs are more of the same, and slow.
MAX_LENGTH = 1024


def folders(binary):
    name = os.path.basename(binary)
    found, kept = f'build/fuzz/{name}', f'cpp/test/corpus/{name}'
    os.makedirs(found, exist_ok=True)
    os.makedirs(kept, exist_ok=True)
    return name, found, kept


def keep(binaries):
    for binary in binaries:
        name, found, kept = folders(binary)
        small = f'build/fuzz/{name}.small'
        subprocess.run(['rm', '-rf', small], check=True)
        os.makedirs(small)
        command = [binary, '-set_cover_merge=1', f'-max_len={MAX_LENGTH}', small, kept, found]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(['rm', '-rf', kept], check=True)
        os.rename(small, kept)
        print(f'  {name}: {len(os.listdir(kept))} inputs')


def fuzz(binary, seconds):
    """None, or what was found."""
    name, found, kept = folders(binary)
    # Weighing which input to change next would take up to nine tenths of the time.
    command = [binary, f'-max_total_time={seconds}', f'-max_len={MAX_LENGTH}', '-entropic=0', '-timeout=10',
               '-rss_limit_mb=2048', f'-artifact_prefix={found}/', '-print_final_stats=1', found, kept]
    if executions := os.environ.get('FUZZ_EXECUTIONS'):
        command.append(f'-runs={executions}')
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode(errors='replace')
    executed = re.search(r'number_of_executed_units:\s*(\d+)', output)
    count = int(executed[1]) if executed else 0
    print(f'    {count:,} executions in {time.monotonic() - began:.0f} s', flush=True)
    # One that has run nothing shows nothing.
    if done.returncode == 0 and count > 0:
        return None
    return f'{output[-8000:]}\n    the input that did it lies in {found}/'


def main():
    if sys.argv[1] == '--keep':
        keep(sys.argv[2:])
        return
    reports, seconds, binaries = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    os.makedirs(reports, exist_ok=True)
    if not binaries:
        sys.exit('no fuzzers: cpp/test holds no *_fuzz.cc')
    failed = 0
    for number, binary in enumerate(binaries, 1):
        print(f'  [{number}/{len(binaries)}] {os.path.basename(binary)} for {seconds} s', flush=True)
        if found := fuzz(binary, seconds):
            failed += 1
            print(found, flush=True)
    with open(f'{reports}/fuzz.json', 'w') as file:
        json.dump({'tests': len(binaries), 'failures': failed}, file)
    sys.exit(1 if failed else 0)


main()
