/**
 * The `@example`s of the public API, each made into a filter's file. An example is read as what it looks like:
 * - a module, when it calls defineFilter; `// name.js` on a line of its own begins another file beside it;
 * - members of the definition (parseConfig …) or of what `create` returns (hooks, transforms), when it begins with one;
 * - else statements in a hook, with that hook's arguments, `config` and `callbacks` in scope: `body` and `ctx` put them
 *   into transformRequest, `data` into decodeData, `entry` into onLog, `headers.status` into encodeHeaders, anything else
 *   into decodeHeaders.
 * What it uses of this package need not be imported.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Example {
  /** The symbol, `Interface.member`, with a number when it has several. */
  readonly of: string;
  /** File name → source. The filter is in `filter.ts`. */
  readonly files: ReadonlyMap<string, string>;
}

export interface PublicSymbol {
  readonly name: string;
  /** Members that are called. */
  readonly methods: readonly string[];
  /** Members with an example. */
  readonly shown: readonly string[];
  /** Exists at run time. */
  readonly isValue: boolean;
  readonly examples: readonly Example[];
}

/** Every export of the package, with its examples and its members'. */
export function publicSymbols(): PublicSymbol[] {
  const index = join(ROOT, 'src/api/index.ts');
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.base.json'), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, ROOT);
  const program = ts.createProgram([index], { ...options, noEmit: true });
  const checker = program.getTypeChecker();
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(index)!)!);
  const names = new Map<string, boolean>();
  const symbols = exported.map((symbol) => {
    const real = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    names.set(symbol.name, (real.flags & ts.SymbolFlags.Value) !== 0);
    return { name: symbol.name, real };
  });
  return symbols.map(({ name, real }) => {
    const isValue = names.get(name)!;
    const examples = textsOf(real, checker).map((text, i) => example(i === 0 ? name : `${name} ${i + 1}`, text, names));
    const methods: string[] = [];
    const shown: string[] = [];
    for (const member of membersOf(real, checker)) {
      const of = `${name}.${member.name}`;
      if (isCalled(member, checker)) methods.push(member.name);
      const texts = textsOf(member, checker);
      if (texts.length > 0) shown.push(member.name);
      texts.forEach((text, i) => examples.push(example(i === 0 ? of : `${of} ${i + 1}`, text, names)));
    }
    return { name, methods, shown, isValue, examples };
  });
}

/** The ```ts blocks of a Markdown file, as modules. */
export function markdownExamples(name: string, markdown: string): Example[] {
  const blocks = [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1]!);
  return blocks.map((text, i) => ({ of: `${name} ${i + 1}`, files: new Map([['filter.ts', text]]) }));
}

function textsOf(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  return symbol
    .getJsDocTags(checker)
    .filter((tag) => tag.name === 'example')
    .map((tag) => ts.displayPartsToString(tag.text).trim());
}

function membersOf(symbol: ts.Symbol, checker: ts.TypeChecker): readonly ts.Symbol[] {
  if (symbol.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.Class)) return [...(symbol.members?.values() ?? [])];
  const { valueDeclaration } = symbol;
  if (valueDeclaration === undefined || !ts.isVariableDeclaration(valueDeclaration)) return [];
  return checker.getTypeOfSymbol(symbol).getProperties();
}

function isCalled(member: ts.Symbol, checker: ts.TypeChecker): boolean {
  if (member.name.startsWith('__')) return false;
  return checker.getTypeOfSymbol(member).getCallSignatures().length > 0;
}

const OF_DEFINITION = /^(async )?(schema|parseConfig|parseRouteConfig|mergeConfig|destroyConfig)\b/;
const OF_FILTER = /^(async )?\*?(decode|encode|transform|on)[A-Z]\w*[(:]/;

function example(of: string, text: string, names: ReadonlyMap<string, boolean>): Example {
  const files = new Map<string, string>();
  const [first, ...parts] = text.split(/^\/\/ (\w[\w-]*\.[jt]s)\n/m);
  if (parts.length === 0) files.set('filter.ts', asModule(first!));
  else for (let i = 0; i < parts.length; i += 2) files.set(parts[i]!, parts[i + 1]!);
  const filter = files.get('filter.ts');
  if (filter === undefined) throw new Error(`the example of ${of} has no filter.ts`);
  files.set('filter.ts', asModule(withImports(filter, names)));
  return { of, files };
}

function asModule(text: string): string {
  if (/\bdefineFilter\(/.test(text)) return text;
  const imports = text.match(/^import .*$/gm)?.join('\n') ?? '';
  const rest = text.replace(/^import .*\n/gm, '').trim();
  const defined = (members: string): string =>
    `${imports}\nexport default defineFilter({\n  name: 'example',\n${members}\n});\n`;
  const member = rest.endsWith(',') ? rest : `${rest},`;
  if (OF_DEFINITION.test(rest)) return defined(`${member}\n  create: () => ({}),`);
  const created = (members: string): string => defined(`  create: (config, callbacks) => ({\n${members}\n  }),`);
  return created(OF_FILTER.test(rest) ? member : `    ${hookFor(rest)} {\n${rest}\n    },`);
}

/** The hook whose arguments the statements use. */
function hookFor(text: string): string {
  const code = text.replace(/'[^']*'/g, "''");
  // As a variable: neither a member nor a key.
  const uses = (...names: string[]): boolean =>
    names.some((name) => new RegExp(`(?<![.\\w])${name}\\b(?!:)`).test(code));
  if (uses('headers')) return `async ${text.includes('headers.status') ? 'en' : 'de'}codeHeaders(headers, endStream)`;
  if (uses('body', 'ctx')) return 'async *transformRequest(body, ctx)';
  if (uses('data')) return 'async decodeData(data, endStream)';
  if (uses('entry')) return 'onLog(entry)';
  return 'async decodeHeaders(headers, endStream)';
}

/** Imports what is used of the package and not imported. */
function withImports(text: string, names: ReadonlyMap<string, boolean>): string {
  if (/from 'envoy-ts-filter'/.test(text)) return text;
  const code = asModule(text);
  const used = [...names].filter(([name]) => new RegExp(`(?<![.\\w'])${name}\\b(?!['-])`).test(code));
  const list = used.map(([name, isValue]) => (isValue ? name : `type ${name}`));
  return `import { ${list.join(', ')} } from 'envoy-ts-filter';\n${text}`;
}
