/** What the framing torture prints. */
import type { Line } from '../fixture/http1.js';
import type { BodyPlan } from '../torture/plan.js';
import type { Arrival } from './board.js';
import type { Fault, Verdict } from './judge.js';
import type { Exchange } from './plan.js';
import type { Sight, View } from './run.js';

const describeBody = ({ size, steps, end, length }: BodyPlan): string =>
  end === 'with the headers'
    ? 'no body'
    : `${size} bytes${length ? ' with content-length' : ''} as [${steps.map((step) => (step < 0 ? `${-step}ms` : step)).join(' ')}], end ${end}`;

export function describeExchange({ request, answer, acts }: Exchange): string {
  const marks = [
    request.expect ? 'expects 100' : '',
    request.upgrade ? 'upgrade' : '',
    request.together ? 'in one write' : '',
  ];
  const answered = [
    answer.interim.length > 0 ? `after ${answer.interim.join()}` : '',
    answer.when === 'early' ? 'early' : '',
    answer.together ? 'in one write' : '',
    answer.short ? 'cut short' : '',
    answer.closes ? 'closes' : '',
    answer.stray ? 'DATA behind it' : '',
  ];
  const join = (parts: readonly string[]) =>
    parts
      .filter((part) => part !== '')
      .map((part) => `, ${part}`)
      .join('');
  return [
    `request:  ${request.malformed ?? request.method} to ${request.target}, ${describeBody(request.body)}${join(marks)}`,
    `answer:   ${answer.status} by ${answer.framing}, ${describeBody(answer.body)}${join(answered)}`,
    ...acts.map((one) => `filter:   ${JSON.stringify(one)}`),
  ].join('\n    ');
}

const shortLines = (lines: readonly Line[]): string =>
  lines
    .filter(([name]) => !/^(?:date|server|x-envoy|x-ours|x-forwarded|x-request|x-key|x-target|:)/.test(name))
    .map((line) => line.join(': '))
    .join('; ');

const describeArrival = ({ method, lines, body, end }: Arrival): string =>
  `${method} ${end}, ${body.length} bytes [${shortLines(lines)}]`;

function describeView({ seen, arrivals, log }: View): string {
  const why = seen.why === '' ? '' : ` (${seen.why})`;
  const told = log === undefined ? 'no access log' : `access log ${log.code} ${log.details} ${log.flags}`;
  const text = `${seen.interim.join('+')}${seen.interim.length > 0 ? ' ' : ''}${seen.status} ${seen.end}${why}, ${seen.body.length} bytes [${shortLines(seen.lines)}]`;
  return `${text}, connection ${seen.stays ? 'stays' : 'ends'}; upstream: ${arrivals.map(describeArrival).join(' | ') || 'nothing'}; ${told}`;
}

export function againLine({ version, exchange }: Sight, seed: number): string {
  return `make framing-torture ENVOY_VERSION=${version} FRAMING_SEED=${seed} FRAMING_ONLY=${exchange.number}`;
}

export function failureText({ sight, code }: Verdict, faults: readonly Fault[], seed: number): string {
  const { version, conversation, exchange, bare, ours } = sight;
  const place = exchange.number - conversation.exchanges[0]!.number + 1;
  return [
    `WRONG on Envoy ${version}: exchange ${exchange.number} of seed ${seed}${code === undefined ? '' : `, code ${code}`}`,
    ...faults.map(({ kind, text }) => `  ${kind}: ${text}`),
    `  ${conversation.client}${conversation.pipelined ? ', pipelined' : ''}, through "${conversation.stage}", ${place} of ${conversation.exchanges.length}`,
    `    ${describeExchange(exchange)}`,
    `    without:  ${describeView(bare)}`,
    `    with us:  ${describeView(ours)}`,
    `  again: ${againLine(sight, seed)}`,
  ].join('\n');
}
