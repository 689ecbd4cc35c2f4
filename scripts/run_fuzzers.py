#!/usr/bin/env python3
"""run_fuzzers.py REPORTS SECONDS BINARY... - runs each fuzzer that long.

What a fuzzer finds lies in build/fuzz/<name>/; inputs worth keeping belong in cpp/test/corpus/<name>/, which every
run reads first.
"""
import json
import os
import subprocess
import sys


def main():
    reports, seconds, binaries = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    os.makedirs(reports, exist_ok=True)
    if not binaries:
        sys.exit('no fuzzers: cpp/test holds no *_fuzz.cc')
    failed = 0
    for number, binary in enumerate(binaries, 1):
        name = os.path.basename(binary)
        found, kept = f'build/fuzz/{name}', f'cpp/test/corpus/{name}'
        os.makedirs(found, exist_ok=True)
        print(f'  [{number}/{len(binaries)}] {name} for {seconds} s', flush=True)
        command = [binary, f'-max_total_time={seconds}', '-timeout=10', '-rss_limit_mb=2048',
                   f'-artifact_prefix={found}/', '-print_final_stats=1', found]
        if os.path.isdir(kept):
            command.append(kept)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = done.stdout.decode(errors='replace')
        if done.returncode == 0:
            print('    ' + ', '.join(line for line in output.splitlines() if 'number_of_executed_units' in line))
        else:
            failed += 1
            print(output[-8000:])
            print(f'    the input that did it lies in {found}/', flush=True)
    with open(f'{reports}/fuzz.json', 'w') as file:
        json.dump({'tests': len(binaries), 'failures': failed}, file)
    sys.exit(1 if failed else 0)


main()
