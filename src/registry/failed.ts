/** A stream that cannot run: its first headers are answered by a failure, everything else is ignored. */
import { type HeaderBlock, HeadersTrait, type HeaderType, type StreamSink, type StreamSource } from '../base/wire.js';

export class FailedStream implements StreamSource {
  private readonly sink: StreamSink;
  private text: string | undefined;

  constructor(sink: StreamSink, text: string) {
    this.sink = sink;
    this.text = text;
  }

  onHeaders(type: HeaderType, _block: HeaderBlock, traits: number): void {
    if ((traits & HeadersTrait.Context) !== 0 || this.text === undefined) return;
    const { text } = this;
    this.text = undefined;
    this.sink.fail(type, text);
  }

  onData(): void {}
  onBodyTooLarge(): void {}
  onLogHeaders(): void {}
  onLogRun(): void {}
  onCallEvent(): void {}
  onEnd(): void {}
  onQueryAnswer(): void {}
}
