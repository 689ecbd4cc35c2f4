/** The Envoy of a torture, whose listeners have names. */
import { Fixture, type Config } from '../fixture/envoy.js';

/** Their folders are removed, too, when somebody stops the torture. */
const living = new Set<TortureStage>();
process.on('exit', () => {
  for (const stage of living) stage.remove();
});

export class TortureStage extends Fixture {
  /** By the listener's name. */
  readonly ports = new Map<string, number>();

  override async startAll(host: boolean): Promise<void> {
    living.add(this);
    await super.startAll(host);
  }

  protected override async started(): Promise<void> {
    const text = await this.admin('/listeners?format=json');
    for (const { name, local_address } of (JSON.parse(text) as Config)['listener_statuses'] as Config[])
      this.ports.set(String(name), local_address.socket_address.port_value as number);
  }

  override remove(): void {
    living.delete(this);
    super.remove();
  }
}
