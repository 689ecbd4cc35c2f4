/** What the host's own log says of one stream, and the names that it goes by there. */
import { randomUUID } from 'node:crypto';
import { describeError } from '../api/errors.js';
import type { Phase } from '../api/types.js';
import type { FilledDeps, HostLogger } from '../base/deps.js';
import type { HeaderMapImpl } from '../headers/headers.js';

export class Journal {
  readonly filterName: string;
  private readonly deps: FilledDeps;
  private readonly worker: number;
  private readonly stream: { readonly requestHeaders: HeaderMapImpl | undefined };
  private id: string | undefined;

  constructor(
    filterName: string,
    worker: number,
    deps: FilledDeps,
    stream: { readonly requestHeaders: HeaderMapImpl | undefined },
  ) {
    this.filterName = filterName;
    this.worker = worker;
    this.deps = deps;
    this.stream = stream;
  }

  get requestId(): string {
    return (this.id ??= this.stream.requestHeaders?.get('x-request-id') ?? randomUUID());
  }

  /** For the author's own lines. */
  logger(): HostLogger {
    const { requestId, filterName: filter, worker } = this;
    return this.deps.logger.child({ requestId, filter, envoyWorker: worker });
  }

  /** An error of the author's; `when` it came, where that is not at once. */
  error(phase: Phase | undefined, error: unknown, when = ''): void {
    const { filterName: filter, requestId, worker } = this;
    const text = `${phase ?? 'create'}${when === '' ? '' : ` ${when}`}: ${describeError(error)}`;
    this.deps.logger.error({ err: error, filter, requestId, phase, worker }, text);
  }
}
