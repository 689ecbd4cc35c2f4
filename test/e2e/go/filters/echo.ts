import { defineFilter } from 'envoy-ts-filter';

interface Config {
  echo_body: string;
  match_path: string;
}

/** Go's `echo` plugin: answers one path itself. */
export default defineFilter({
  name: 'go-echo',
  parseConfig: (raw) => raw as unknown as Config,
  create: (config, callbacks) => ({
    decodeHeaders(headers) {
      if (headers.path !== config.match_path) return;
      return callbacks.sendLocalReply(403, { body: `${config.echo_body}, path: ${headers.path}\r\n` });
    },
  }),
});
