import { describe, expect, it } from 'vitest';
import { linesOf, opsText } from '../../test/support/recorder.js';
import { HeaderLines, packHeaders } from '../base/header-block.js';
import {
  BodyMode,
  Direction,
  HeaderOp,
  HeaderType,
  OutputFlag,
  PhaseBit,
  type Follows,
  type HeaderBlock,
  type OpList,
} from '../base/wire.js';
import { Pass } from './pass.js';
import { type Head, type ModuleControl, Piece, type Receiver } from './receiver.js';
import type { MemberPlace, Message, StageMember } from './stage-ports.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytes = (of: string): Uint8Array => Uint8Array.from(Buffer.from(of, 'latin1'));
const shown = (block: HeaderBlock): string => [...HeaderLines.of(block)].map((line) => line.join(': ')).join(', ');

/** What the members and the end of a message hear, line by line. */
class Heard {
  readonly lines: string[] = [];
  take(): string[] {
    return this.lines.splice(0);
  }
}

/** Says what the test makes it say. */
class Member implements StageMember {
  bits: number = PhaseBit.decodeHeaders | PhaseBit.transformRequest;
  at!: MemberPlace;
  readonly name: string;
  private readonly heard: Heard;

  constructor(name: string, heard: Heard) {
    this.name = name;
    this.heard = heard;
  }

  partOf(): boolean {
    return this.bits !== 0;
  }
  place(_direction: Direction, place: MemberPlace): void {
    this.at = place;
  }
  headers(_message: Message, block: HeaderBlock, endStream: boolean): void {
    this.heard.lines.push(`${this.name} headers [${shown(block)}]${endStream ? ' end' : ''}`);
  }
  data(_direction: Direction, data: Uint8Array, follows: Follows): void {
    const end = follows === 'more' ? '' : follows === 'trailers' ? ' last, trailers' : ' last';
    this.heard.lines.push(`${this.name} data "${text(data)}"${end}`);
  }
  trailers(_direction: Direction, block: HeaderBlock): void {
    this.heard.lines.push(`${this.name} trailers [${shown(block)}]`);
  }
  bodyTooLarge(): void {
    this.heard.lines.push(`${this.name} too large`);
  }

  answer(mode: BodyMode, ...ops: OpList): void {
    this.at.answer(HeaderType.Request, mode, ops);
  }
  output(of: string, flags = 0, acknowledged = 0): void {
    this.at.output(flags, acknowledged, bytes(of), true);
  }
  add(of: string): void {
    this.output(of, OutputFlag.Added);
  }
}

class End implements Receiver, ModuleControl {
  private readonly heard: Heard;

  constructor(heard: Heard) {
    this.heard = heard;
  }

  headers({ lead, taken, length }: Head): void {
    this.say(`headers lead "${lead.map(text).join('')}"${taken ? ' taken' : ''} length ${String(length)}`);
  }
  data(data: Uint8Array, traits: number): void {
    if (data.length > 0) this.say(`data "${text(data)}"${(traits & Piece.Input) !== 0 ? ' input' : ''}`);
  }
  end(trailers: HeaderBlock | undefined): void {
    this.say(`end${trailers === undefined ? '' : ` [${shown(trailers)}]`}`);
  }
  room(): undefined {
    return undefined;
  }
  ops(type: HeaderType, ops: OpList): void {
    this.say(`ops ${String(type)} ${opsText(ops)}`);
  }
  hold(whole: boolean): boolean {
    this.say(`hold${whole ? ' whole' : ''}`);
    return whole;
  }
  acknowledge(count: number): void {
    this.say(`ack ${String(count)}`);
  }
  timed(on: boolean): void {
    this.say(`timed ${String(on)}`);
  }
  turn(digested: boolean): void {
    this.say(digested ? 'digested' : 'turn');
  }
  drain(): void {
    this.say('drain');
  }
  letGo(): boolean {
    this.say('let go');
    return true;
  }

  private say(line: string): void {
    this.heard.lines.push(line);
  }
}

interface Given {
  readonly headersOnly?: boolean;
  readonly window?: number;
  readonly maxBodyBytes?: number;
  readonly members?: number;
}

function begin({ headersOnly = false, window = 10, maxBodyBytes = 20, members = 2 }: Given = {}): {
  heard: Heard;
  pass: Pass;
  a: Member;
  b: Member;
  said(): string[];
} {
  const heard = new Heard();
  const [a, b] = [new Member('a', heard), new Member('b', heard)];
  const end = new End(heard);
  const message = {
    direction: Direction.Request,
    block: packHeaders(linesOf({ ':path': '/', 'content-length': '5' }).flat()),
    headersOnly,
    tunnel: false,
    here: false,
  };
  const pass = new Pass(message, { head: false, window, maxBodyBytes }, [a, b].slice(0, members), end, end);
  pass.start();
  // Turns and times are looked at where they are the point.
  const said = (): string[] => heard.take().filter((line) => !/^(turn|digested|timed)/.test(line));
  return { heard, pass, a, b, said };
}

describe('headers between two members', () => {
  it('are seen with the writes before, and told in order', () => {
    const { a, b, said } = begin();
    a.answer(BodyMode.Pass, HeaderOp.Set, 'x', '1', HeaderOp.Set, 'content-length', '7');
    b.add('++');
    b.answer(BodyMode.Pass, HeaderOp.Add, 'y', '2');
    expect(said()).toEqual([
      'a headers [:path: /, content-length: 5]',
      'ops 0 [set x 1]',
      'b headers [:path: /, x: 1, content-length: 7]',
      'ops 0 [add y 2]',
      'headers lead "++" length 9',
    ]);
  });

  it('wait for the output of a member that holds them', () => {
    const { a, b, said } = begin();
    a.answer(BodyMode.StreamHold);
    expect(said()).toEqual(['a headers [:path: /, content-length: 5]', 'hold']);
    a.output('x');
    expect(said()).toEqual(['b headers [:path: /]']);
    b.answer(BodyMode.Pass);
    expect(said()).toEqual(['headers lead "" taken length undefined', 'data "x"']);
  });

  it('go past members that are not part of the message, and past those not asked yet once it is frozen', () => {
    const none = begin();
    none.b.bits = 0;
    none.a.answer(BodyMode.Pass);
    expect(none.said().at(-1)).toBe('headers lead "" length undefined');
    const frozen = begin();
    frozen.pass.freeze();
    frozen.a.answer(BodyMode.Pass);
    expect(frozen.said().at(-1)).toBe('headers lead "" length undefined');
    expect([frozen.pass.reached(frozen.a), frozen.pass.reached(frozen.b)]).toEqual([true, false]);
  });

  it('of a message that is nothing else end it, but for what members add', () => {
    const { a, b, said } = begin({ headersOnly: true });
    a.add('+');
    a.answer(BodyMode.Pass);
    b.answer(BodyMode.Stream);
    b.output('B', OutputFlag.Last, 1);
    expect(said()).toEqual([
      'a headers [:path: /, content-length: 5] end',
      'b headers [:path: /, content-length: 1]',
      'headers lead "" taken length undefined',
      'b data "+" last',
      'data "B"',
      'end',
    ]);
  });
});

describe('a body between two members', () => {
  it('waits for one that has not answered for its headers, then its end comes', async () => {
    const { a, b, pass, said } = begin();
    a.answer(BodyMode.Stream);
    said();
    pass.data(bytes('123'), 'more');
    a.output('12345', 0, 3);
    a.output('67890');
    expect(said()).toEqual(['a data "123"', 'ack 3']);
    const room = a.at.backpressure();
    let free = false;
    void room?.then(() => (free = true));
    pass.data(bytes('4'), 'nothing');
    a.output('!', OutputFlag.Last, 1);
    expect([said(), free]).toEqual([['a data "4" last', 'ack 1'], false]);
    b.answer(BodyMode.Stream);
    expect(said()).toEqual([
      'headers lead "" taken length undefined',
      'b data "12345"',
      'b data "67890"',
      'b data "!"',
      'b data "" last',
    ]);
    // What another member has made is nothing that the module waits for.
    b.output('b', OutputFlag.Last, 11);
    expect(said()).toEqual(['data "b"', 'end']);
    await room;
  });

  it('goes past a member that does not take it, input of the module as such', () => {
    const { a, b, pass, said } = begin();
    a.answer(BodyMode.Stream);
    b.answer(BodyMode.Pass);
    a.output('', OutputFlag.Bypass | OutputFlag.Digested);
    said();
    pass.data(bytes('x'), 'nothing');
    expect(said()).toEqual(['data "x" input', 'a data "" last', 'end']);
  });

  it('that is gathered for the first member is bounded by the module, for any other here', () => {
    const first = begin();
    first.a.answer(BodyMode.Whole);
    first.said();
    first.pass.data(bytes('x'.repeat(30)), 'more');
    expect(first.said()).toEqual([`a data "${'x'.repeat(30)}"`]);
    const second = begin();
    second.a.answer(BodyMode.Stream);
    second.b.answer(BodyMode.Whole);
    expect(second.said().at(-1)).toBe('hold');
    second.a.output('x'.repeat(15));
    second.a.output('x'.repeat(15));
    expect(second.said()).toEqual([`b data "${'x'.repeat(15)}"`, 'b too large']);
  });

  it('whose members are through is drained, or let go of, but not before trailers that some hook waits for', () => {
    const done = begin({ members: 1 });
    done.a.answer(BodyMode.Stream);
    done.a.output('x', OutputFlag.Last);
    expect(done.said().slice(-2)).toEqual(['data "x"', 'drain']);
    const past = begin({ members: 1 });
    past.a.answer(BodyMode.Stream);
    past.a.output('x', OutputFlag.Bypass);
    expect(past.said().slice(-2)).toEqual(['data "x"', 'let go']);
    const waits = begin({ members: 1 });
    waits.a.bits |= PhaseBit.decodeTrailers;
    waits.a.answer(BodyMode.Stream);
    waits.a.output('x', OutputFlag.Last);
    expect(waits.said().at(-1)).toBe('data "x"');
  });

  it('is digested when each has asked for more and nothing waits', () => {
    const { heard, a, b, pass } = begin();
    a.answer(BodyMode.Stream);
    expect(heard.take().at(-1)).toBe('turn');
    b.answer(BodyMode.Stream);
    a.output('', OutputFlag.Digested);
    expect(heard.take().at(-1)).toBe('turn');
    b.output('', OutputFlag.Digested);
    expect(heard.take().at(-1)).toBe('digested');
    pass.data(bytes('x'), 'more');
    expect(heard.take().at(-1)).toBe('turn');
  });
});

describe('trailers between two members', () => {
  it('come last, with the writes before', () => {
    const { a, b, pass, said } = begin();
    a.answer(BodyMode.Stream);
    b.answer(BodyMode.Pass);
    said();
    pass.data(bytes('x'), 'trailers');
    a.output('y', OutputFlag.Last, 1);
    expect(said()).toEqual(['a data "x" last, trailers', 'ack 1', 'data "y"']);
    pass.trailersCame(packHeaders(['t', '0']));
    a.at.answer(HeaderType.RequestTrailers, BodyMode.Pass, [HeaderOp.Set, 't', '1']);
    b.at.output(OutputFlag.Added, 0, bytes('z'), true);
    b.at.answer(HeaderType.RequestTrailers, BodyMode.Pass, []);
    expect(said()).toEqual(['a trailers [t: 0]', 'ops 1 [set t 1]', 'b trailers [t: 1]', 'data "z"', 'end [t: 1]']);
  });

  it('reach all members where nothing but trailers came', () => {
    const heard = new Heard();
    const [a, b] = [new Member('a', heard), new Member('b', heard)];
    const end = new End(heard);
    const block = packHeaders([]);
    const message = { direction: Direction.Request, block, headersOnly: false, tunnel: false, here: false };
    const pass = new Pass(message, { head: false, window: 10, maxBodyBytes: 10 }, [a, b], end, end);
    pass.startAtTrailers();
    pass.trailersCame(packHeaders(['t', '0']));
    for (const one of [a, b]) one.at.answer(HeaderType.RequestTrailers, BodyMode.Pass, []);
    const said = heard.take().filter((line) => !/^(turn|digested|timed)/.test(line));
    expect(said).toEqual(['a trailers [t: 0]', 'b trailers [t: 0]', 'end [t: 0]']);
  });
});

describe('a message that is over', () => {
  it('hears nobody, and keeps nobody waiting', async () => {
    const { a, b, pass, said } = begin();
    a.answer(BodyMode.Stream);
    a.output('0123456789');
    const room = a.at.backpressure();
    expect(room).toBeDefined();
    said();
    pass.kill();
    await room;
    a.output('x', OutputFlag.Last);
    b.answer(BodyMode.Pass);
    pass.data(bytes('x'), 'nothing');
    expect([said(), a.at.backpressure(), pass.needs(a)]).toEqual([[], undefined, false]);
  });

  it('was waiting for those that had not answered, or not ended', () => {
    const { a, b, pass } = begin();
    expect([pass.needs(a), pass.needs(b)]).toEqual([true, false]);
    a.answer(BodyMode.Stream);
    expect([pass.needs(a), pass.needs(b)]).toEqual([true, true]);
    b.answer(BodyMode.Pass);
    a.output('', OutputFlag.Last);
    expect([pass.needs(a), pass.needs(b)]).toEqual([false, false]);
  });
});

describe('the time of a member', () => {
  it('runs from its being asked to its answer', () => {
    const { heard, a, b } = begin();
    const times = (): string[] => heard.take().filter((line) => line.startsWith('timed'));
    expect(times()).toEqual(['timed true']);
    a.answer(BodyMode.Pass);
    expect(times()).toEqual(['timed false', 'timed true']);
    b.answer(BodyMode.Pass);
    expect(times()).toEqual(['timed false']);
  });
});
