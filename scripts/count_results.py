#!/usr/bin/env python3
"""count_results.py REPORTS STEPS_FAILED - one line for all suites: "N passed, N failed". Exit 1 when any failed.

Reads the JSON reports of GoogleTest and vitest. A step that failed without a failed test (a lint rule, a compiler)
counts as one.
"""
import glob
import json
import sys


def count(path):
    with open(path) as file:
        report = json.load(file)
    if 'numTotalTests' not in report:
        return report['tests'] - report['failures'], report['failures']
    # A file that could not be loaded has no tests to fail.
    broken = sum(1 for file in report['testResults'] if file['status'] == 'failed' and not any(
        test['status'] == 'failed' for test in file['assertionResults']))
    return report['numPassedTests'], report['numFailedTests'] + broken


def main():
    passed = failed = 0
    for path in sorted(glob.glob(sys.argv[1] + '/*.json')):
        good, bad = count(path)
        print(f'{path}: {good} passed, {bad} failed' if bad else f'{path}: {good} passed', file=sys.stderr)
        passed, failed = passed + good, failed + bad
    failed = failed or int(sys.argv[2])
    sys.stderr.flush()
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed or not passed else 0)


main()
