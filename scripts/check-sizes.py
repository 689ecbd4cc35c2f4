#!/usr/bin/env python3
"""check-sizes.py [--list] - no file of cpp/ over 350 lines, no function over 70, no class over 15 fields, but for what
is argued below. It reads clang-format's layout, not C++: a block ends at the next brace of its own column.
--list prints the largest of each."""
import pathlib
import re
import sys

LIMITS = {'file': 350, 'function': 70, 'class': 15}
FOLDERS = ['core', 'shm', 'stock', 'addon']

# Why each of these is larger. What is no longer larger is to be taken out.
ALLOWED = {
    'core/config.h Settings': 'one field for each key of filter_config, without states of its own',
    'shm/ring.h': 'a template cannot be divided into files, and its two halves share each word of the layout',
    'shm/layout.h FileHeader': 'a map of bytes: one field for each word, and one for each gap',
    'shm/ring.h Endpoint': 'the positions of both rings as both sides know them: a third of them are copies of one word',
    'stock/stock_flow.h StockFlow': 'its parts with states of their own are classes; what is left joins them',
}

TYPE = re.compile(r'^(?:template <.*> )?(?:class|struct) (?:TSF_\w+ )?(\w+)')
NO_FIELD = re.compile(r'^(?:using|friend|static|inline static|enum|struct|class|public|private|protected|template|'
                      r'virtual|return|typedef|explicit|union|constexpr|//|#|\}|~)')


def without_angles(text):
    """std::function<void()> f; has no parenthesis that makes it a function."""
    before = None
    while before != text:
        before, text = text, re.sub(r'<[^<>]*>', '', text)
    return text


def blocks(lines):
    """(first line, last line) of every block, by the column of its head."""
    open_heads = []
    head = 0
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped.startswith(('//', '#')):
            continue
        indent = len(line) - len(line.lstrip())
        if stripped.startswith('}'):
            while open_heads and open_heads[-1][0] > indent:
                open_heads.pop()
            if open_heads and open_heads[-1][0] == indent:
                yield open_heads.pop()[1], number
            if not stripped.endswith('{'):
                head = number + 1
                continue
        if number > 0 and re.search(r'[;}{:]$', re.sub(r'\s*//.*', '', lines[number - 1].rstrip()) or ';'):
            head = number
        code = re.sub(r'\s*//.*', '', stripped)
        if code.endswith('{'):
            first = lines[head]
            open_heads.append((len(first) - len(first.lstrip()), head))
            head = number + 1


def fields(lines, first, last):
    """Data members, one statement each, at the class's own depth."""
    inside = len(lines[first]) - len(lines[first].lstrip()) + 2
    count = 0
    statement = ''
    for line in lines[first + 1:last]:
        code = re.sub(r'\s*//.*', '', line.rstrip())
        indent = len(code) - len(code.lstrip())
        if not code or indent < inside:
            continue
        if indent == inside:
            statement = code.strip()
        elif indent == inside + 4 and statement and not statement.endswith((';', '{', '}')):
            statement += ' ' + code.strip()
        else:
            continue
        flat = without_angles(statement)
        if flat.endswith(';') and not NO_FIELD.match(flat) and '(' not in flat and 'operator' not in flat:
            count += 1
    return count


def measure(path):
    lines = path.read_text().splitlines()
    name = str(path.relative_to('cpp'))
    yield 'file', name, len(lines)
    for first, last in blocks(lines):
        text = ' '.join(line.strip() for line in lines[first:first + 6])
        kind = TYPE.match(text)
        if kind:
            yield 'class', f'{name} {kind[1]}', fields(lines, first, last)
        elif '(' in text and not re.search(r'= \{$|= \[.*\{$', lines[first].rstrip()) and not re.match(r'(?:namespace|extern|enum|if|for|while|switch|else|do|return)\b', text):
            called = re.search(r'([~\w:]+(?: ?[=<>!+*-]+)?)\(', without_angles(text))
            yield 'function', f'{name} {called[1] if called else "?"}', last - first + 1


def main():
    found = []
    for folder in FOLDERS:
        for path in sorted(pathlib.Path('cpp', folder).glob('*.[hc]*')):
            found.extend(measure(path))
    if '--list' in sys.argv:
        for kind in LIMITS:
            for _, name, size in sorted((f for f in found if f[0] == kind), key=lambda f: -f[2])[:12]:
                print(f'{kind:9}{size:5}  {name}')
        return
    over = {name: (kind, size) for kind, name, size in found if size > LIMITS[kind]}
    failed = False
    for name, (kind, size) in over.items():
        if name not in ALLOWED:
            failed = True
            unit = 'fields' if kind == 'class' else 'lines'
            print(f'cpp/{name}: {kind} with {size} {unit}, at most {LIMITS[kind]}: divide it, or argue in '
                  'scripts/check-sizes.py and docs/decisions.md', file=sys.stderr)
    for name in ALLOWED:
        if name not in over:
            failed = True
            print(f'cpp/{name} is no longer too large: take it out of scripts/check-sizes.py', file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
