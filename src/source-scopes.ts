/** JavaScript as a tree whose names can be followed to what they stand for, where that is certain. */
import { type AnyNode, type Class, type Function as FunctionNode, parse } from 'acorn';

export type { AnyNode };
export type AnyFunction = Extract<AnyNode, FunctionNode>;
export type AnyClass = Extract<AnyNode, Class>;

/** What a name stands for. */
export type Binding =
  /** The value of an expression, a function or a class. */
  | { readonly kind: 'value'; readonly node: AnyNode }
  /** A member of an expression's value: `const { member } = node`. */
  | { readonly kind: 'member'; readonly node: AnyNode; readonly member: string }
  /** An import; `*` is the whole module. */
  | { readonly kind: 'import'; readonly source: string; readonly name: string }
  /** A parameter, or a member of one. */
  | {
      readonly kind: 'parameter';
      readonly of: AnyFunction;
      readonly index: number;
      readonly member: string | undefined;
    }
  /** Anything else. */
  | { readonly kind: 'unknown' };

interface Scope {
  readonly names: Map<string, Binding>;
  readonly parent: Scope | undefined;
  /** Where `var` declares. */
  readonly ofFunction: Scope;
}

const UNKNOWN: Binding = { kind: 'unknown' };
/** Names that stand for names; more in a row are not followed. */
const MAX_HOPS = 16;

export class Source {
  /** In the order of the text. */
  readonly calls: Extract<AnyNode, { type: 'CallExpression' }>[] = [];
  readonly members: Extract<AnyNode, { type: 'MemberExpression' }>[] = [];
  private readonly scopes = new Map<AnyNode, Scope>();
  /** Names that are written to somewhere: what they stand for is not certain. */
  private readonly written = new Set<string>();

  /** undefined when the text cannot be read: it may be newer than this parser. */
  static read(text: string): Source | undefined {
    try {
      return new Source(parse(text, { ecmaVersion: 'latest', sourceType: 'module', locations: true }));
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  private constructor(program: AnyNode) {
    const top = newScope(undefined, true);
    // Its own stack: nothing bounds how deeply a source nests.
    const todo: [AnyNode, Scope][] = [[program, top]];
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const [node, outer] = next;
      const scope = opensScope(node) ? newScope(outer, isFunction(node)) : outer;
      // A function's own name belongs outside, its parameters inside.
      this.scopes.set(node, scope);
      this.declare(node, outer, scope);
      if (node.type === 'CallExpression') this.calls.push(node);
      if (node.type === 'MemberExpression') this.members.push(node);
      for (const child of children(node)) todo.push([child, scope]);
    }
    this.calls.sort((a, b) => a.start - b.start);
    this.members.sort((a, b) => a.start - b.start);
  }

  /** What a name stands for. */
  binding(name: Extract<AnyNode, { type: 'Identifier' }>): Binding | undefined {
    if (this.written.has(name.name)) return UNKNOWN;
    for (let scope = this.scopes.get(name); scope !== undefined; scope = scope.parent) {
      const found = scope.names.get(name.name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The expression behind names, itself where there are none, undefined where it is not certain. */
  value(node: AnyNode): AnyNode | undefined {
    let at = node;
    for (let hops = 0; at.type === 'Identifier'; hops++) {
      const binding = this.binding(at);
      if (binding === undefined || binding.kind !== 'value' || hops === MAX_HOPS) return undefined;
      at = binding.node;
    }
    return at;
  }

  private declare(node: AnyNode, outer: Scope, inner: Scope): void {
    switch (node.type) {
      case 'VariableDeclaration':
        for (const { id, init } of node.declarations) {
          const scope = node.kind === 'var' ? inner.ofFunction : inner;
          if (id.type === 'Identifier' && init) add(scope, id.name, { kind: 'value', node: init });
          else if (id.type === 'ObjectPattern' && init) {
            const from = init;
            this.pattern(id, scope, (member) => ({ kind: 'member', node: from, member }));
          } else this.pattern(id, scope, () => UNKNOWN);
        }
        return;
      case 'FunctionDeclaration':
        this.own(node, outer);
        this.parameters(node, inner);
        return;
      case 'FunctionExpression':
        this.own(node, inner);
        this.parameters(node, inner);
        return;
      case 'ArrowFunctionExpression':
        this.parameters(node, inner);
        return;
      case 'ClassDeclaration':
        this.own(node, outer);
        return;
      case 'ClassExpression':
        this.own(node, inner);
        return;
      case 'ImportDeclaration':
        for (const specifier of node.specifiers) {
          let name = '*';
          if (specifier.type === 'ImportDefaultSpecifier') name = 'default';
          else if (specifier.type === 'ImportSpecifier') name = textOf(specifier.imported) ?? '';
          add(inner, specifier.local.name, { kind: 'import', source: String(node.source.value), name });
        }
        return;
      case 'CatchClause':
        if (node.param) this.pattern(node.param, inner, () => UNKNOWN);
        return;
      case 'AssignmentExpression':
        this.write(node.left);
        return;
      case 'UpdateExpression':
        this.write(node.argument);
        return;
      case 'ForInStatement':
      case 'ForOfStatement':
        if (node.left.type !== 'VariableDeclaration') this.write(node.left);
        return;
    }
  }

  private own(node: AnyFunction | AnyClass, scope: Scope): void {
    // A default export, too, may have no name.
    if ('id' in node && node.id) add(scope, node.id.name, { kind: 'value', node });
  }

  private parameters(of: AnyFunction, scope: Scope): void {
    of.params.forEach((parameter, index) => {
      const whole = parameter.type === 'AssignmentPattern' ? parameter.left : parameter;
      if (whole.type === 'Identifier') add(scope, whole.name, { kind: 'parameter', of, index, member: undefined });
      else this.pattern(whole, scope, (member) => ({ kind: 'parameter', of, index, member }));
    });
  }

  /** Names that a pattern declares. Those one level deep in an object pattern have a member's name. */
  private pattern(pattern: AnyNode, scope: Scope, ofMember: (member: string) => Binding): void {
    if (pattern.type === 'ObjectPattern') {
      for (const property of pattern.properties) {
        const member = property.type === 'Property' && !property.computed ? textOf(property.key) : undefined;
        if (property.type === 'Property' && property.value.type === 'Identifier' && member !== undefined) {
          add(scope, property.value.name, ofMember(member));
        } else this.names(property, (name) => add(scope, name, UNKNOWN));
      }
    } else this.names(pattern, (name) => add(scope, name, UNKNOWN));
  }

  private write(target: AnyNode): void {
    // A member of something is written to, not a name.
    if (target.type === 'MemberExpression') return;
    this.names(target, (name) => this.written.add(name));
  }

  private names(pattern: AnyNode, found: (name: string) => void): void {
    switch (pattern.type) {
      case 'Identifier':
        found(pattern.name);
        return;
      case 'Property':
        this.names(pattern.value, found);
        return;
      case 'RestElement':
        this.names(pattern.argument, found);
        return;
      case 'AssignmentPattern':
        this.names(pattern.left, found);
        return;
      case 'ObjectPattern':
        for (const property of pattern.properties) this.names(property, found);
        return;
      case 'ArrayPattern':
        for (const element of pattern.elements) if (element !== null) this.names(element, found);
        return;
    }
  }
}

function newScope(parent: Scope | undefined, ofFunction: boolean): Scope {
  const scope: { -readonly [K in keyof Scope]: Scope[K] } = { names: new Map(), parent, ofFunction: undefined! };
  scope.ofFunction = ofFunction || parent === undefined ? scope : parent.ofFunction;
  return scope;
}

/** Two declarations of one name: which of them is meant is not certain. */
function add(scope: Scope, name: string, binding: Binding): void {
  scope.names.set(name, scope.names.has(name) ? UNKNOWN : binding);
}

function opensScope(node: AnyNode): boolean {
  switch (node.type) {
    case 'BlockStatement':
    case 'ForStatement':
    case 'ForInStatement':
    case 'ForOfStatement':
    case 'SwitchStatement':
    case 'CatchClause':
    case 'StaticBlock':
    case 'ClassDeclaration':
    case 'ClassExpression':
      return true;
    default:
      return isFunction(node);
  }
}

export function isFunction(node: AnyNode): node is AnyFunction {
  return (
    node.type === 'FunctionDeclaration' || node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression'
  );
}

export function isClass(node: AnyNode): node is AnyClass {
  return node.type === 'ClassDeclaration' || node.type === 'ClassExpression';
}

export function* children(node: AnyNode): Generator<AnyNode> {
  for (const value of Object.values(node) as unknown[]) {
    if (Array.isArray(value)) {
      for (const item of value as unknown[]) if (isNode(item)) yield item;
    } else if (isNode(value)) yield value;
  }
}

const isNode = (value: unknown): value is AnyNode =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

/** The name of a key that is not computed. */
export function textOf(key: AnyNode): string | undefined {
  if (key.type === 'Identifier') return key.name;
  return key.type === 'Literal' && typeof key.value === 'string' ? key.value : undefined;
}
