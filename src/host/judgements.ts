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

export class Judgements {
  readonly #modules = new Map<ConnectionId, Map<number, Judged>>();
  readonly #tell: (connection: ConnectionId, id: number, verdict: Verdict) => void;

  constructor(tell: (connection: ConnectionId, id: number, verdict: Verdict) => void) {
    this.#tell = tell;
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

  #decide(connection: ConnectionId, judged: Judged): void {
    const { verdict, waitsFor, isOut, config } = judged;
    if (isOut || verdict === undefined || (verdict.accepted && waitsFor.size > 0)) return;
    judged.isOut = true;
    this.#tell(connection, config.id, verdict);
  }
}

function ask(place: Place, connection: ConnectionId, judged: Judged): void {
  judged.waitsFor.add(place);
  place.post({ type: 'judge', connection, config: judged.config, again: judged.isOut });
}
