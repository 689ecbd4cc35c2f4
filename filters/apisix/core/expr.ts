/** Conditions on variables, as lua-resty-expr has them: `[["arg_name", "==", "jack"], ["arg_age", "!", "<", 18]]`. */
import type { Json } from 'envoy-ts-filter';
import { IpMatcher } from './ip.js';
import { compileRegex } from './regex.js';
import type { VarSource } from './utils.js';

/** A compiled condition. */
export type Expr = (vars: VarSource) => boolean;
type Value = string | number | undefined;
type Compare = (left: Value) => boolean;

const LOGIC = ['AND', 'OR', '!AND', '!OR'] as const;
type Logic = (typeof LOGIC)[number];
const isLogic = (word: unknown): word is Logic => LOGIC.includes(word as Logic);

/** Throws an Error that says what is wrong with the rule. */
export function compileExpr(rule: Json): Expr {
  if (!Array.isArray(rule)) throw new Error('rule should be an array');
  const rules = rule as readonly Json[];
  if (rules.length === 0) return () => true;
  const [first] = rules;
  const logic = isLogic(first) ? first : 'AND';
  const parts = (isLogic(first) ? rules.slice(1) : rules).map(compilePart);
  if (isLogic(first) && parts.length < 2) throw new Error('rule too short');
  const all = (vars: VarSource): boolean => parts.every((part) => part(vars));
  const any = (vars: VarSource): boolean => parts.some((part) => part(vars));
  switch (logic) {
    case 'AND':
      return all;
    case 'OR':
      return any;
    case '!AND':
      return (vars) => !all(vars);
    case '!OR':
      return (vars) => !any(vars);
  }
}

function compilePart(part: Json): Expr {
  if (!Array.isArray(part)) throw new Error('rule should be wrapped inside brackets');
  const words = part as readonly Json[];
  if (isLogic(words[0]) || Array.isArray(words[0])) return compileExpr(words);
  const [name, ...rest] = words;
  const reversed = rest[0] === '!';
  const [operator, right] = reversed ? rest.slice(1) : rest;
  if (name === undefined || operator === undefined) throw new Error('rule too short');
  if (typeof name !== 'string') throw new Error('the name of a variable should be a string');
  const compare = compileOperator(operator, right ?? null);
  return (vars) => compare(vars[name]) !== reversed;
}

const equal = (left: Value, right: Json): boolean =>
  typeof right === 'number' ? left !== undefined && Number(left) === right : String(left ?? '') === String(right ?? '');
const compared = (left: Value, right: Json, test: (a: number, b: number) => boolean): boolean => {
  if (left === undefined || left === '') return false;
  return test(Number(left), Number(right));
};
const listOf = (right: Json): readonly Json[] => (Array.isArray(right) ? (right as readonly Json[]) : [right]);

function compileOperator(operator: Json, right: Json): Compare {
  switch (operator) {
    case '==':
      return (left) => (right === null ? left === undefined : left !== undefined && equal(left, right));
    case '~=':
      return (left) => !(right === null ? left === undefined : left !== undefined && equal(left, right));
    case '>':
      return (left) => compared(left, right, (a, b) => a > b);
    case '>=':
      return (left) => compared(left, right, (a, b) => a >= b);
    case '<':
      return (left) => compared(left, right, (a, b) => a < b);
    case '<=':
      return (left) => compared(left, right, (a, b) => a <= b);
    case '~~':
    case '~*': {
      const regex = compileRegex(String(right), operator === '~*' ? 'i' : '');
      return (left) => left !== undefined && regex.test(String(left));
    }
    case 'in':
    case 'IN':
      return (left) => left !== undefined && listOf(right).some((one) => equal(left, one));
    case 'has':
    case 'HAS':
      // Variables are texts here, never lists.
      return (left) => left !== undefined && equal(left, right);
    case 'ipmatch':
    case 'IPMATCH': {
      const matcher = new IpMatcher(listOf(right).map(String));
      return (left) => left !== undefined && matcher.has(String(left));
    }
    default:
      throw new Error(`invalid operator '${String(operator)}'`);
  }
}

/** What is wrong with a rule, undefined when nothing is. */
export function checkExpr(rule: Json): string | undefined {
  try {
    compileExpr(rule);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
