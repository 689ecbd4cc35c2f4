/**
 * The configs of all modules, and the verdicts that the threads have not given yet. The first refusal is everybody's;
 * acceptance needs all threads that serve. With none, the next one that comes judges.
 */
import type { FilterConfigMessage } from '../channel/codec/index.js';
import type { ConnectionId, Verdict } from '../thread/messages.js';
import type { Place } from './place.js';

interface Judged {
  readonly config: FilterConfigMessage;
  readonly waitsFor: Set<Place>;
  verdict: Verdict | undefined;
  /** The module has it. */
  isOut: boolean;
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
    const judged: Judged = { config, waitsFor: new Set(), verdict: undefined, isOut: false };
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
    if (judged.isOut && !verdict.accepted && judged.verdict?.accepted === true) {
      this.#refusedAgain(place, connection, judged, verdict);
      return;
    }
    if (judged.verdict?.accepted !== false) judged.verdict = verdict;
    this.#decide(connection, judged);
  }

  /** A new thread learns what the others know. */
  joined(place: Place): void {
    for (const [connection, configs] of this.#modules)
      for (const judged of configs.values()) ask(place, connection, judged);
  }

  /** Nobody waits for a thread that serves no more. */
  left(place: Place): void {
    for (const [connection, configs] of this.#modules)
      for (const judged of configs.values()) if (judged.waitsFor.delete(place)) this.#decide(connection, judged);
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
    const { verdict, waitsFor, isOut, config } = judged;
    if (isOut || verdict === undefined || (verdict.accepted && waitsFor.size > 0)) return;
    judged.isOut = true;
    this.#events.verdict(connection, config.id, verdict);
  }
}

function ask(place: Place, connection: ConnectionId, judged: Judged): void {
  judged.waitsFor.add(place);
  place.post({ type: 'judge', connection, config: judged.config, again: judged.isOut });
}
