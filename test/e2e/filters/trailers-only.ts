import { defineFilter } from 'envoy-ts-filter';

/** Filters with one hook, which marks the trailers and adds its name to the body. */
const request = (name: string, phases?: ['decodeTrailers']) =>
  defineFilter({
    name,
    ...(phases && { phases }),
    create: (_config, callbacks) => ({
      decodeTrailers(trailers) {
        trailers.set(`x-${name}`, 'yes');
        callbacks.decoderFilterCallbacks().addData(`<${name}>`);
      },
    }),
  });
const response = (name: string, phases?: ['encodeTrailers']) =>
  defineFilter({
    name,
    ...(phases && { phases }),
    create: (_config, callbacks) => ({
      encodeTrailers(trailers) {
        trailers.set(`x-${name}`, 'yes');
        callbacks.encoderFilterCallbacks().addData(`<${name}>`);
      },
    }),
  });

export default [
  request('request-trailers'),
  response('response-trailers'),
  request('declared-request-trailers', ['decodeTrailers']),
  response('declared-response-trailers', ['encodeTrailers']),
];
