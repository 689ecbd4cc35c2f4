/** From what both receivers saw, and Envoy's logs, to an outcome for each direction. */
import type { AccessEntry } from '../fixture/envoy.js';
import type { Direction } from './chain.js';
import type { Seen, Sight } from './exchange.js';

export const OUTCOMES = ['exact', 'coded', 'cut', 'hung', 'other'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface Verdict {
  readonly sight: Sight;
  readonly request: Outcome;
  /** undefined: the request did not come so far that there was one. */
  readonly response: Outcome | undefined;
  /** The worse one. */
  readonly whole: Outcome;
  /** For all but exact. */
  readonly why: string;
}

const CODE = /\b(?:ts_filter_\w+|TSF_\w+)/;
const BADNESS: readonly Outcome[] = ['exact', 'coded', 'other', 'hung', 'cut'];
const worse = (a: Outcome, b: Outcome): Outcome => (BADNESS.indexOf(a) > BADNESS.indexOf(b) ? a : b);

/** How far from a message's end its line in Envoy's log may be. */
const NEAR_MS = 1_500;
/** The module writes at most so many lines a second, and then no more of them. */
const LINES_A_SECOND = 10;

interface Reset {
  readonly at: number;
  readonly filter: string;
  readonly code: string;
  taken: boolean;
}

/** The resets in Envoy's log. Each line stands for one stream; the filter's name tells where it was. */
export class ResetLog {
  private readonly resets: Reset[];

  constructor(log: string) {
    const line = /^\[(\S+ [\d:.]+)\].*ts_filter: filter (\S+): stream (?:reset|cut): (\S+)/gm;
    this.resets = [...log.matchAll(line)].map(([, at, filter, code]) => ({
      at: new Date(at!.replace(' ', 'T')).getTime(),
      filter: filter!,
      code: code!,
      taken: false,
    }));
  }

  /** The code of a reset by such a filter at about that time, undefined: there was none. */
  take(isOne: (filter: string) => boolean, began: number, ended: number): string | undefined {
    const near = this.resets.filter(({ at }) => at >= began - NEAR_MS && at <= ended + NEAR_MS);
    const mine = near.find((reset) => !reset.taken && isOne(reset.filter));
    if (mine !== undefined) {
      mine.taken = true;
      return mine.code;
    }
    return near.length >= LINES_A_SECOND ? 'a code that the log had no room for' : undefined;
  }
}

interface Ending {
  readonly code: string | undefined;
  /** It was reset, or answered by somebody else than the upstream. */
  readonly early: boolean;
}

function direction(seen: Seen, ending: Ending, rash: boolean): Outcome {
  if (seen.end === 'hung') return 'hung';
  if (seen.end === 'whole' && seen.wrong === '') return 'exact';
  if (seen.end === 'whole' && !ending.early) return 'cut';
  // an upstream that has answered all does not need the rest of the request
  if (rash) return 'exact';
  return ending.code === undefined ? 'other' : 'coded';
}

export function judge(sight: Sight, access: AccessEntry | undefined, resets: ResetLog): Verdict {
  const { request, response, status, text, plan, chain } = sight;
  const replied = response.end === 'whole' && status !== 200;
  const broken = response.end === 'broken' || request.end === 'broken';
  let code = CODE.exec(access?.details ?? '')?.[0] ?? CODE.exec(text)?.[0];
  const rashly = plan.answer === 'rash' && response.end === 'whole' && response.wrong === '';
  if (code === undefined && broken && !rashly)
    code = resets.take((name) => name.startsWith(`t${chain.number}-`), sight.began, sight.ended);
  const answered = direction(response, { code, early: replied || response.end === 'broken' }, false);
  // the upstream counts a short request with a clean end as cut, whatever the client is told
  // a request that was not over when the client gave up did not end by itself
  const gaveUp = request.end === 'broken' && response.end === 'hung';
  const asked = gaveUp ? 'hung' : direction(request, { code, early: request.end !== 'whole' }, rashly);
  const outcome = worse(asked, answered);
  const parts: [Direction, Outcome, Seen][] = [
    ['request', asked, request],
    ['response', answered, response],
  ];
  const why = parts.filter(([, one]) => one !== 'exact').map(([name, one, seen]) => `${name} ${one}: ${seen.wrong}`);
  if (code !== undefined) why.push(`code ${code}`);
  const log = access === undefined ? 'no access log' : `access log ${access.code} ${access.details} ${access.flags}`;
  if (outcome !== 'exact') why.push(text === '' ? log : `${log}, told ${JSON.stringify(text)}`);
  const reached = asked === 'exact' || answered === 'exact' || answered === 'cut';
  return { sight, request: asked, response: reached ? answered : undefined, whole: outcome, why: why.join('; ') };
}
