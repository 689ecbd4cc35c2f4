#!/usr/bin/env python3
"""run_gtests.py REPORTS BINARY... - runs each test program, quiet when it passes, and leaves its JSON report."""
import json
import os
import subprocess
import sys
import time

TIME_LIMIT = 300

SANITIZERS = {
    'ASAN_OPTIONS': 'detect_stack_use_after_return=1:strict_string_checks=1',
    'UBSAN_OPTIONS': 'print_stacktrace=1',
    'TSAN_OPTIONS': 'halt_on_error=1:second_deadlock_stack=1',
}


def fixed_addresses():
    """TSan stops on kernels that spread addresses too widely; without spreading it runs everywhere."""
    command = ['setarch', os.uname().machine, '-R']
    try:
        return command if subprocess.run(command + ['true'], stderr=subprocess.DEVNULL).returncode == 0 else []
    except FileNotFoundError:
        return []


def run(binary, report):
    if os.path.exists(report):
        os.remove(report)
    command = fixed_addresses() + [os.path.abspath(binary), f'--gtest_output=json:{os.path.abspath(report)}']
    try:
        done = subprocess.run(command, env={**SANITIZERS, **os.environ}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIME_LIMIT)
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b'') + f'\nno end after {TIME_LIMIT} s\n'.encode(), 124
    try:
        with open(report) as file:
            counts = json.load(file)
    except (OSError, ValueError):
        counts = {'tests': 0, 'failures': 0}
    # A crash, a sanitizer's report or a program without tests counts as one failed test.
    if (code != 0 and counts['failures'] == 0) or counts['tests'] == 0:
        counts = {'tests': counts['tests'] + 1, 'failures': 1}
        with open(report, 'w') as file:
            json.dump(counts, file)
    return counts, code, output


def main():
    reports, binaries = sys.argv[1], sys.argv[2:]
    os.makedirs(reports, exist_ok=True)
    if not binaries:
        sys.exit('no C++ tests: cpp/test holds no *_test.cc')
    failed = 0
    for number, binary in enumerate(binaries, 1):
        name = os.path.relpath(binary, 'build/test').replace('/', '-')
        started = time.monotonic()
        counts, code, output = run(binary, f'{reports}/cpp-{name}.json')
        state = 'ok' if counts['failures'] == 0 else f"{counts['failures']} FAILED (exit {code})"
        print(f"  [{number}/{len(binaries)}] {name}: {counts['tests']} tests, {state}, "
              f'{time.monotonic() - started:.1f} s', flush=True)
        if counts['failures']:
            failed += 1
            sys.stdout.write(output.decode(errors='replace'))
    sys.exit(1 if failed else 0)


main()
