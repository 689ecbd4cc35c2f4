/**
 * The mistakes that TypeScript refuses and defineFilter cannot see, found in the text of the filters when they are loaded:
 * what `create` returns is only known once a stream has come. Nothing of the author's runs for it. It tells what is
 * certain, a mistake that every stream would meet; what it cannot follow is left to the checks of the first stream.
 */
import { attributeId } from './attributes.js';
import {
  declaredPhases,
  IS_PROMISE,
  kindFault,
  MADE,
  MEMBERS,
  nameFault,
  notAnObject,
  phaseFault,
  suggest,
} from './filter.js';
import {
  type AnyClass,
  type AnyFunction,
  type AnyNode,
  children,
  isClass,
  isFunction,
  Source,
  textOf,
} from './source-scopes.js';
import { type Phase, StatusType, type StreamFilter } from './types.js';
import { PhaseBit } from './wire.js';

/** One mistake, in one line, and where in the text: line from 1, column from 0. */
export interface SourceMistake {
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

type Status = keyof typeof StatusType;
const STATUSES = Object.keys(StatusType) as Status[];
const FOR_TRAILERS: readonly Status[] = ['Running', 'LocalReply', 'Continue'];
const FOR_HEADERS = STATUSES.filter((status) => status !== 'StopNoBuffer');
/** Functions that make what a function returns; more in a row are not followed. */
const MAX_DEPTH = 4;

interface Member {
  /** Where it is written. */
  readonly at: AnyNode;
  /** undefined = a getter: what it gives is not known. */
  readonly value: AnyNode | undefined;
}
/** By name; the one that counts. */
type Members = Map<string, Member>;

/** `libraries`: how the text may name this package in an import or a require. */
export function findMistakes(text: string, libraries: readonly string[]): SourceMistake[] {
  const source = Source.read(text);
  if (source === undefined) return [];
  const mistakes = new Map<string, SourceMistake>();
  const checker = new Checker(source, new Set(libraries), (at, what) => {
    const { line, column } = at.loc!.start;
    // Two ways to return one filter: its mistakes are told once.
    mistakes.set(`${at.start} ${what}`, { line, column, text: what });
  });
  checker.run();
  return [...mistakes.values()].sort((a, b) => a.line - b.line || a.column - b.column);
}

class Checker {
  private readonly source: Source;
  private readonly libraries: ReadonlySet<string>;
  private readonly report: (at: AnyNode, text: string) => void;

  constructor(source: Source, libraries: ReadonlySet<string>, report: (at: AnyNode, text: string) => void) {
    this.source = source;
    this.libraries = libraries;
    this.report = report;
  }

  run(): void {
    for (const call of this.source.calls) {
      const [argument] = call.arguments;
      if (argument === undefined || this.libraryName(call.callee) !== 'defineFilter') continue;
      const definition = this.source.value(argument);
      if (definition?.type === 'ObjectExpression') this.definition(definition);
    }
  }

  private definition(definition: Extract<AnyNode, { type: 'ObjectExpression' }>): void {
    const given = this.objectMembers(definition);
    const value = (key: string): AnyNode | undefined => {
      const node = given.get(key)?.value;
      return node === undefined ? undefined : this.source.value(node);
    };
    const create = value('create');
    if (create === undefined || !isFunction(create)) return;
    const name = value('name');
    const label = name?.type === 'Literal' && typeof name.value === 'string' ? `filter "${name.value}": ` : '';
    const phases = given.has('phases') ? this.strings(value('phases')) : undefined;
    // Names that are no phases are refused by defineFilter itself.
    const declared = declaredPhases(phases?.every(isPhase) === true ? phases : undefined);
    const check = new FilterCheck(this, declared, (at, text) => {
      this.report(at, label + text);
    });
    check.returned(create, 0);
    const attributes = given.has('attributes') ? this.strings(value('attributes')) : [];
    if (attributes !== undefined) this.attributes(create, attributes, label);
  }

  /** Reads of attributes that the definition does not declare: always undefined. */
  private attributes(create: AnyFunction, declared: readonly string[], label: string): void {
    for (const member of this.source.members) {
      const name = this.memberName(member);
      if (name === undefined || attributeId(name) === undefined || declared.includes(name)) continue;
      if (!this.isAttributes(member.object, create)) continue;
      const text = `reads attributes['${name}'], which is not declared; add it to the definition's attributes`;
      this.report(member, label + text);
    }
  }

  private isAttributes(node: AnyNode, create: AnyFunction): boolean {
    if (node.type === 'MemberExpression') {
      return this.memberName(node) === 'attributes' && this.isCallbacks(node.object, create);
    }
    if (node.type !== 'Identifier') return false;
    const binding = this.source.binding(node);
    if (binding?.kind === 'parameter') {
      return binding.of === create && binding.index === 1 && binding.member === 'attributes';
    }
    if (binding?.kind === 'member') return binding.member === 'attributes' && this.isCallbacks(binding.node, create);
    return binding?.kind === 'value' && binding.node.type !== 'Identifier' && this.isAttributes(binding.node, create);
  }

  private isCallbacks(node: AnyNode, create: AnyFunction): boolean {
    if (node.type !== 'Identifier') return false;
    const binding = this.source.binding(node);
    return (
      binding?.kind === 'parameter' && binding.of === create && binding.index === 1 && binding.member === undefined
    );
  }

  private memberName(node: Extract<AnyNode, { type: 'MemberExpression' }>): string | undefined {
    const { property, computed } = node;
    if (property.type === 'PrivateIdentifier' || (computed && property.type === 'Identifier')) return undefined;
    return textOf(property);
  }

  /** The export of this package that an expression is. */
  libraryName(node: AnyNode): string | undefined {
    if (node.type === 'MemberExpression') return this.isLibrary(node.object) ? this.memberName(node) : undefined;
    if (node.type !== 'Identifier') return undefined;
    const binding = this.source.binding(node);
    if (binding?.kind === 'import') return this.libraries.has(binding.source) ? binding.name : undefined;
    return binding?.kind === 'member' && this.isLibrary(binding.node) ? binding.member : undefined;
  }

  private isLibrary(node: AnyNode): boolean {
    if (node.type === 'Identifier') {
      const binding = this.source.binding(node);
      if (binding?.kind === 'import') return binding.name === '*' && this.libraries.has(binding.source);
      return binding?.kind === 'value' && binding.node.type !== 'Identifier' && this.isLibrary(binding.node);
    }
    if (node.type !== 'CallExpression' || node.callee.type !== 'Identifier') return false;
    const [argument] = node.arguments;
    // esbuild wraps require() of what stays outside the bundle.
    return (
      /^(__)?require$/.test(node.callee.name) &&
      argument?.type === 'Literal' &&
      typeof argument.value === 'string' &&
      this.libraries.has(argument.value)
    );
  }

  /** `StatusType.X` → X. */
  statusName(node: AnyNode): string | undefined {
    if (node.type !== 'MemberExpression' || this.libraryName(node.object) !== 'StatusType') return undefined;
    return this.memberName(node);
  }

  private strings(node: AnyNode | undefined): string[] | undefined {
    if (node?.type !== 'ArrayExpression') return undefined;
    const texts = node.elements.map((one) => (one?.type === 'Literal' ? one.value : undefined));
    return texts.every((text) => typeof text === 'string') ? texts : undefined;
  }

  value(node: AnyNode): AnyNode | undefined {
    return this.source.value(node);
  }

  objectMembers(object: Extract<AnyNode, { type: 'ObjectExpression' }>): Members {
    const members: Members = new Map();
    for (const property of object.properties) {
      if (property.type === 'SpreadElement') {
        const spread = this.source.value(property.argument);
        if (spread?.type === 'ObjectExpression') {
          for (const [name, member] of this.objectMembers(spread)) members.set(name, member);
        }
        continue;
      }
      const name = property.computed ? undefined : textOf(property.key);
      if (name === undefined) continue;
      members.set(name, { at: property, value: property.kind === 'init' ? property.value : undefined });
    }
    return members;
  }

  classMembers(one: AnyClass): Members {
    const base = one.superClass ? this.source.value(one.superClass) : undefined;
    const members: Members = base !== undefined && isClass(base) && base !== one ? this.classMembers(base) : new Map();
    for (const item of one.body.body) {
      if (item.type === 'StaticBlock' || item.static || item.computed) continue;
      const name = item.key.type === 'PrivateIdentifier' ? undefined : textOf(item.key);
      if (name === undefined || name === 'constructor') continue;
      if (item.type === 'PropertyDefinition') members.set(name, { at: item, value: item.value ?? undefined });
      else if (item.kind !== 'set')
        members.set(name, { at: item, value: item.kind === 'get' ? undefined : item.value });
    }
    return members;
  }
}

/** What one `create` returns, by every way that can be followed. */
class FilterCheck {
  private readonly in: Checker;
  private readonly declared: number;
  private readonly report: (at: AnyNode, text: string) => void;

  constructor(checker: Checker, declared: number, report: (at: AnyNode, text: string) => void) {
    this.in = checker;
    this.declared = declared;
    this.report = report;
  }

  returned(fn: AnyFunction, depth: number): void {
    if (fn.generator) return;
    if (fn.async) {
      this.made(fn, IS_PROMISE);
      return;
    }
    const results = resultsOf(fn);
    for (const result of results ?? []) this.filter(result, depth);
    if (results?.length === 0) this.made(fn, notAnObject('undefined'));
  }

  private made(at: AnyNode, text: string): void {
    this.report(at, `${MADE} ${text}`);
  }

  private filter(given: AnyNode, depth: number): void {
    const node = this.in.value(given);
    if (node === undefined) return;
    if (node.type === 'ObjectExpression') this.members(node, this.in.objectMembers(node));
    else if (node.type === 'NewExpression') {
      const made = this.in.value(node.callee);
      if (made !== undefined && isClass(made) && !returnsOther(made)) this.members(node, this.in.classMembers(made));
    } else if (node.type === 'CallExpression') {
      const maker = this.in.value(node.callee);
      if (maker !== undefined && isFunction(maker) && depth < MAX_DEPTH) this.returned(maker, depth + 1);
    } else if (node.type === 'Literal') {
      this.made(given, notAnObject(node.value === null ? 'null' : typeof node.value));
    } else if (isFunction(node)) this.made(given, notAnObject('function'));
  }

  private members(at: AnyNode, members: Members): void {
    let bits = 0;
    for (const [name, member] of members) {
      const misspelt = nameFault(name);
      if (misspelt !== undefined) this.made(member.at, misspelt);
      if (!isMember(name) || member.value === undefined) continue;
      const value = this.in.value(member.value);
      if (value === undefined) continue;
      if (this.member(name, member.at, value)) bits |= PhaseBit[name];
    }
    const fault = phaseFault(bits, this.declared);
    if (fault !== undefined) this.made(at, fault);
  }

  /** False: it may be no hook at all. */
  private member(name: keyof StreamFilter, at: AnyNode, value: AnyNode): boolean {
    const transform = name === 'transformRequest' || name === 'transformResponse';
    switch (value.type) {
      case 'Literal':
      case 'TemplateLiteral':
      case 'ArrayExpression':
        this.made(at, kindFault(name));
        return true;
      case 'ObjectExpression':
        if (!transform) this.made(at, kindFault(name));
        return true;
      case 'CallExpression':
        if (this.in.libraryName(value.callee) !== 'perChunk') return false;
        if (!transform) this.made(at, kindFault(name));
        else this.perChunk(value);
        return true;
      case 'NewExpression':
        return true;
    }
    if (!isFunction(value)) return false;
    if (transform) {
      if (value.async && !value.generator) {
        this.report(at, `${name} is an async function; make it an async generator: async *${name}`);
      }
    } else if (!value.generator && /^(de|en)code/.test(name)) this.answers(name, value);
    return true;
  }

  private perChunk(call: Extract<AnyNode, { type: 'CallExpression' }>): void {
    const fn = call.arguments[0] === undefined ? undefined : this.in.value(call.arguments[0]);
    if (fn !== undefined && isFunction(fn) && fn.async) {
      this.report(call, 'perChunk takes no async function; use an async generator as the transform');
    }
  }

  private answers(hook: keyof StreamFilter, fn: AnyFunction): void {
    const allowed = hook.endsWith('Headers') ? FOR_HEADERS : hook.endsWith('Trailers') ? FOR_TRAILERS : STATUSES;
    const rule = allowed === FOR_HEADERS ? 'which only data hooks may' : 'which trailers hooks may not';
    const mend = `; answer one of ${allowed.join(', ')} (nothing means Continue)`;
    for (const result of resultsOf(fn) ?? []) {
      const named = this.in.statusName(result);
      const value = result.type === 'Literal' ? result.value : undefined;
      const status =
        named ?? (typeof value === 'number' ? STATUSES.find((one) => StatusType[one] === value) : undefined);
      if (named !== undefined && !STATUSES.includes(named as Status)) {
        const hint = suggest(named, STATUSES) || mend;
        this.report(result, `${hook} answers StatusType.${named}, which does not exist${hint}`);
      } else if (status !== undefined) {
        if (!allowed.includes(status as Status)) this.report(result, `${hook} answers ${status}, ${rule}${mend}`);
      } else if (['number', 'string', 'boolean'].includes(typeof value)) {
        this.report(result, `${hook} answers ${JSON.stringify(value)}, which is no status${mend}`);
      }
    }
  }
}

const isMember = (name: string): name is keyof StreamFilter => (MEMBERS as readonly string[]).includes(name);
const isPhase = (name: string): name is Phase => isMember(name) && name !== 'onDestroy';

/** Every expression that a function returns; none = it returns nothing, undefined = it may never return. */
function resultsOf(fn: AnyFunction): AnyNode[] | undefined {
  const results: AnyNode[] = [];
  if (fn.body.type !== 'BlockStatement') {
    results.push(...alternatives(fn.body));
    return results;
  }
  let throws = false;
  const todo: AnyNode[] = [fn.body];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (isFunction(node) || isClass(node)) continue;
    if (node.type === 'ThrowStatement') throws = true;
    if (node.type === 'ReturnStatement' && node.argument) results.push(...alternatives(node.argument));
    todo.push(...children(node));
  }
  return results.length === 0 && throws ? undefined : results;
}

/** An expression's values where it chooses between several. */
function alternatives(node: AnyNode): AnyNode[] {
  switch (node.type) {
    case 'ConditionalExpression':
      return [...alternatives(node.consequent), ...alternatives(node.alternate)];
    case 'LogicalExpression':
      // Which of the left one's values come out is not certain.
      return alternatives(node.right);
    case 'SequenceExpression':
      return alternatives(node.expressions.at(-1)!);
    case 'AwaitExpression':
      return alternatives(node.argument);
    default:
      return [node];
  }
}

/** A constructor that returns something else than its instance. */
function returnsOther(one: AnyClass): boolean {
  return one.body.body.some(
    (item) => item.type === 'MethodDefinition' && item.kind === 'constructor' && resultsOf(item.value)?.length !== 0,
  );
}
