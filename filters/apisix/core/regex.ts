/** Regular expressions as `ngx.re` takes them, by JavaScript's own engine. */

/** `j` and `o` are about speed in nginx; there is nothing here that they change. */
const FLAGS: Readonly<Record<string, string>> = { i: 'i', m: 'm', s: 's', u: 'u', j: '', o: '' };

/** Throws an Error whose message is for the one who wrote the pattern. */
export function compileRegex(pattern: string, options = ''): RegExp {
  let flags = '';
  for (const option of options) {
    const flag = FLAGS[option];
    if (flag === undefined)
      throw new Error(`regex "${pattern}" validation failed: unknown flag "${option}" (flags "${options}")`);
    if (!flags.includes(flag)) flags += flag;
  }
  // PCRE's own way of setting options, at the place where nearly all patterns have it.
  const inline = /^\(\?([ims]+)\)/.exec(pattern);
  const body = inline === null ? pattern : pattern.slice(inline[0].length);
  for (const flag of inline?.[1] ?? '') if (!flags.includes(flag)) flags += flag;
  try {
    return new RegExp(body, flags);
  } catch (error) {
    const why = (error as Error).message.replace(/^Invalid regular expression: /, '');
    throw new Error(`pcre_compile() failed: ${why}`, { cause: error });
  }
}

/** undefined when the pattern is one, else why not. */
export function checkRegex(pattern: string, options?: string): string | undefined {
  try {
    compileRegex(pattern, options);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const CAPTURE = /\$(?:\$|(\d+)|\{(\d+)\}|)/g;

/** What is wrong with a replacement text of `ngx.re.sub`. */
export function checkReplacement(text: string): string | undefined {
  for (const [found] of text.matchAll(CAPTURE)) {
    if (found === '$') return `invalid capturing variable name found in "${text}"`;
  }
  return undefined;
}

/** `$1`, `${1}` and `$0` become groups, `$$` a dollar; groups that took no part are empty. */
export function expandCaptures(text: string, groups: readonly (string | undefined)[]): string {
  return text.replace(CAPTURE, (found: string, plain?: string, braced?: string) => {
    if (found === '$$') return '$';
    const group = plain ?? braced;
    return group === undefined ? found : (groups[Number(group)] ?? '');
  });
}

/** `ngx.re.sub`: the first match; undefined = there is none. */
export function substitute(subject: string, regex: RegExp, replacement: string): string | undefined {
  const found = regex.exec(subject);
  if (found === null) return undefined;
  const head = subject.slice(0, found.index);
  return head + expandCaptures(replacement, found) + subject.slice(found.index + found[0].length);
}
