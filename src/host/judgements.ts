/**
 * The configs of all modules, and the verdicts that the threads have not given yet. The first refusal is everybody's;
 * acceptance needs all threads that serve. With none, the next one that comes judges. Where a thread cannot load the filter
 * the module hears that, until it can.
 */
import type { FilterConfigMessage } from '../channel/codec/index.js';
import type { ConnectionId, Verdict } from '../thread/messages.js';
import type { Place } from './place.js';

interface Judged {
  readonly config: FilterConfigMessage;
  readonly waitsFor: Set<Place>;
  /** What threads say that cannot load the filter now. */
  readonly lacking: Map<Place, Verdict>;
  /** Of the threads that have it. */
  verdict: Verdict | undefined;
  /** What the module has been told last. */
  told: Verdict | undefined;
}

/** Between two tries of a thread to accept what others have accepted. */
const AGAIN_MS = 1_000;

export interface JudgementEvents {
  verdict(connection: ConnectionId, id: number, verdict: Verdict): void;
  refusedAgain(place: Place, config: FilterConfigMessage, verdict: Verdict): void;
}

export class Judgements {
  readonly #modules = new Map<ConnectionId, Map<number, Judged>>();
  readonly #events: JudgementEvents;

  constructor(events: JudgementEvents) {
    this.#events = events;
  }

  judge(connection: ConnectionId, config: FilterConfigMessage, serving: readonly Place[]): void {
    let configs = this.#modules.get(connection);
    if (configs === undefined) this.#modules.set(connection, (configs = new Map()));
    const judged: Judged = { config, waitsFor: new Set(), lacking: new Map(), verdict: undefined, told: undefined };
    configs.set(config.id, judged);
    for (const place of serving) ask(place, connection, judged);
  }

  forget(connection: ConnectionId, id: number): void {
    this.#modules.get(connection)?.delete(id);
  }

  disconnect(connection: ConnectionId): void {
    this.#modules.delete(connection);
  }

  heard(place: Place, connection: ConnectionId, id: number, verdict: Verdict): void {
    const judged = this.#modules.get(connection)?.get(id);
    if (judged === undefined || !judged.waitsFor.delete(place)) return;
    judged.lacking.delete(place);
    if (verdict.unavailable === true) judged.lacking.set(place, verdict);
    else if (!verdict.accepted && judged.told?.accepted === true) {
      this.#refusedAgain(place, connection, judged, verdict);
      return;
    } else if (judged.verdict?.accepted !== false) judged.verdict = verdict;
    this.#decide(connection, judged);
  }

  /** The thread has loaded more. */
  loaded(place: Place): void {
    for (const [connection, configs] of this.#modules)
      for (const judged of configs.values()) if (judged.lacking.has(place)) ask(place, connection, judged);
  }

  /** A new thread learns what the others know. */
  joined(place: Place): void {
    for (const [connection, configs] of this.#modules)
      for (const judged of configs.values()) ask(place, connection, judged);
  }

  /** Nobody waits for a thread that serves no more. */
  left(place: Place): void {
    for (const [connection, configs] of this.#modules)
      for (const judged of configs.values()) {
        const lacked = judged.lacking.delete(place);
        if (judged.waitsFor.delete(place) || lacked) this.#decide(connection, judged);
      }
  }

  /** What the module took for accepted, a thread that came later refuses: its streams fail until it accepts, too. */
  #refusedAgain(place: Place, connection: ConnectionId, judged: Judged, verdict: Verdict): void {
    this.#events.refusedAgain(place, judged.config, verdict);
    setTimeout(() => {
      const isKnown = this.#modules.get(connection)?.get(judged.config.id) === judged;
      if (isKnown && place.serving !== undefined && !judged.waitsFor.has(place)) ask(place, connection, judged);
    }, AGAIN_MS).unref();
  }

  #decide(connection: ConnectionId, judged: Judged): void {
    const next = wordOf(judged);
    const { told, config } = judged;
    if (next === undefined || (told !== undefined && (isRefusal(told) || isSameWord(told, next)))) return;
    judged.told = next;
    this.#events.verdict(connection, config.id, next);
  }
}

const isSameWord = (a: Verdict, b: Verdict): boolean => a.accepted === b.accepted && a.unavailable === b.unavailable;
const isRefusal = (verdict: Verdict): boolean => !verdict.accepted && verdict.unavailable !== true;

/** What there is to say of a config; undefined: not yet. */
function wordOf({ verdict, lacking, waitsFor }: Judged): Verdict | undefined {
  if (verdict !== undefined && isRefusal(verdict)) return verdict;
  const [unavailable] = lacking.values();
  return unavailable ?? (waitsFor.size > 0 ? undefined : verdict);
}

function ask(place: Place, connection: ConnectionId, judged: Judged): void {
  judged.waitsFor.add(place);
  place.post({ type: 'judge', connection, config: judged.config, again: judged.told !== undefined });
}
