// From the runs of each case to medians, ratios, and the text of both.

export const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Medians over the rounds, and the rounds themselves, from which the ratios are made. */
export function summarize(runs, connections) {
  const at = {};
  for (const count of connections) {
    const rounds = runs.map(({ results: { [count]: one } }) => ({
      rps: one.requests / (one.duration / 1e6),
      megabytesPerSecond: one.bytes / one.duration,
      p50: one.p50,
      p99: one.p99,
      envoyMicros: one.envoyMicros / one.requests,
      sidecarMicros: one.sidecarMicros / one.requests,
      cpuMicros: (one.envoyMicros + one.sidecarMicros) / one.requests,
    }));
    const figures = Object.keys(rounds[0]).map((key) => [key, median(rounds.map((round) => round[key]))]);
    at[count] = { ...Object.fromEntries(figures), rounds };
  }
  const failed = runs.flatMap(({ results }) => Object.values(results)).reduce((sum, one) => sum + one.failed, 0);
  return { at, failed, residentMiB: median(runs.map((run) => run.residentMiB)) };
}

/** The budgets of the design that this benchmark can tell: the median of the rounds' ratios. */
export function ratios({ headers, streams }) {
  const one = (cases, id) => cases.find((item) => item.id === id);
  const lines = [];
  const add = (what, cases, ids, count, relation, must, goal, atLeast) => {
    const items = ids.map((id) => one(cases, id));
    if (items.some((item) => item?.at[count] === undefined)) return;
    const broken = items.filter((item) => item.failed > 0);
    if (broken.length > 0) {
      lines.push({
        what,
        must,
        goal,
        atLeast,
        refused: broken.map(({ label, failed }) => `${label}: ${failed} failed requests`).join(', '),
      });
      return;
    }
    const value = median(
      items[0].at[count].rounds.map((_, round) => relation(...items.map((item) => item.at[count].rounds[round]))),
    );
    const reaches = (bound) => (atLeast ? value >= bound : value <= bound);
    lines.push({
      what,
      value,
      must,
      goal,
      atLeast,
      verdict: reaches(goal) ? 'goal' : reaches(must) ? 'must' : 'missed',
    });
  };
  const rps = (a, b) => a.rps / b.rps;
  const cpu = (a, b) => a.cpuMicros / b.cpuMicros;
  const rate = (a, b) => a.megabytesPerSecond / b.megabytesPerSecond;
  const added = (a, b, none) => (a.p50 - none.p50) / (b.p50 - none.p50);
  add('throughput at 32, ours / ext_proc in Node', headers, ['ours', 'ext_proc'], 32, rps, 3.5, 5, true);
  add('throughput at 32, ours / ext_proc in Go', headers, ['ours', 'ext_proc_go'], 32, rps, 1.8, 2.5, true);
  add('throughput at 32, ours / Lua', headers, ['ours', 'lua'], 32, rps, 0.7, 0.95, true);
  add('throughput at 32, no phase subscribed / no filter', headers, ['idle', 'none'], 32, rps, 0.93, 0.97, true);
  add('added p50 at 1, ours / ext_proc in Node', headers, ['ours', 'ext_proc', 'none'], 1, added, 0.45, 0.2, false);
  add('p99 at 32, ours / Lua', headers, ['ours', 'lua'], 32, (a, b) => a.p99 / b.p99, 3, 2, false);
  add('CPU per request at 32, ours / Lua', headers, ['ours', 'lua'], 32, cpu, 1.9, 1.4, false);
  add('CPU per request at 32, ours / ext_proc in Node', headers, ['ours', 'ext_proc'], 32, cpu, 0.3, 0.22, false);
  add('streamed response body, ours / ext_proc in Node', streams, ['ours', 'ext_proc'], 1, rate, 2, 4, true);
  add('streamed response body, ours / no filter', streams, ['ours', 'none'], 1, rate, 0.25, 0.5, true);
  return lines;
}

const headerRows = ({ headers, connections }) => rowsOf(headers, connections);
const callRows = ({ calls }) => rowsOf(calls, Object.keys(calls[0]?.at ?? {}));

function rowsOf(cases, connections) {
  const rows = [
    [
      'case',
      ...connections.flatMap((n) => [
        `c=${n} req/s`,
        `c=${n} p50 µs`,
        `c=${n} p99 µs`,
        `c=${n} CPU µs/req (Envoy + sidecar)`,
      ]),
      'memory MiB',
      'failed',
    ],
  ];
  for (const { label, at, failed, residentMiB } of cases) {
    const figures = connections.flatMap((n) => {
      const { rps, p50, p99, envoyMicros, sidecarMicros } = at[n];
      return [
        rps.toFixed(0),
        p50.toFixed(0),
        p99.toFixed(0),
        `${envoyMicros.toFixed(1)} + ${sidecarMicros.toFixed(1)}`,
      ];
    });
    rows.push([label, ...figures, residentMiB.toFixed(0), String(failed)]);
  }
  return rows;
}

function streamRows({ streams }) {
  const rows = [['case', 'MB/s', 'memory MiB', 'failed']];
  for (const { label, at, failed, residentMiB } of streams) {
    rows.push([label, at[1].megabytesPerSecond.toFixed(0), residentMiB.toFixed(0), String(failed)]);
  }
  return rows;
}

function ratioRows(report) {
  const rows = [['ratio (median of the rounds)', 'here', 'must', 'goal', '']];
  for (const { what, value, must, goal, atLeast, verdict, refused } of ratios(report)) {
    const sign = atLeast ? '≥' : '≤';
    rows.push([
      what,
      refused ? `none: ${refused}` : value.toFixed(2),
      `${sign} ${must}`,
      `${sign} ${goal}`,
      verdict ?? '',
    ]);
  }
  return rows;
}

const asTable = (rows) => {
  const line = (row) => `| ${row.join(' | ')} |`;
  return [line(rows[0]), line(rows[0].map(() => '---')), ...rows.slice(1).map(line)].join('\n');
};

const asColumns = (rows) => {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join('  '),
    )
    .join('\n');
};

const machineLine = ({ cpu, cores, kernel, node, envoy, loadBefore }) =>
  `${cpu}, ${cores} cores, kernel ${kernel}, Node ${node}, Envoy ${envoy}, load before ${loadBefore}`;

const busyNote = ({ cores, loadBefore }) =>
  loadBefore < cores / 2
    ? ''
    : `\n**The machine was busy with other work (load ${loadBefore}) when this run began**: its ratios are not to be trusted.\n`;

export const asText = (report) =>
  [
    machineLine(report.machine),
    `${report.rounds} rounds in alternating order, ${report.seconds} s each, one Envoy worker, one host thread; medians`,
    ...(report.machine.loadBefore < report.machine.cores / 2
      ? []
      : ['The machine was busy with other work: do not trust these ratios.']),
    ...(report.headers.length > 0
      ? ['', 'One header added each way, direct response', asColumns(headerRows(report))]
      : []),
    ...(report.calls.length > 0
      ? ['', 'One call from the request hook, direct response', asColumns(callRows(report))]
      : []),
    ...(report.streams.length > 0 ? ['', 'Streamed response body, one connection', asColumns(streamRows(report))] : []),
    ...(ratios(report).length > 0 ? ['', asColumns(ratioRows(report))] : []),
  ].join('\n');

export const asDocument = (report) => `# Benchmarks

Generated by \`make bench BENCH_OPTS=--write-docs\` on ${report.date}; do not edit by hand.

${machineLine(report.machine)}. ${report.rounds} rounds in alternating order, ${report.seconds} s for each figure after a
warm-up, fresh processes for each case, one Envoy worker, one host thread, wrk with one thread. Load generator, Envoy
and sidecar share the cores. Absolute figures move from run to run and from machine to machine: compare ratios inside
one run only. A ratio is taken in each round; the table shows the median.
${busyNote(report.machine)}
## Headers

\`direct_response\` behind the filter chain; each filter adds one header to the request and one to the response, ours from
an \`async\` function. Before it is measured, each case shows on one request that both headers are there.

${asTable(headerRows(report))}

## Calls

One \`echo\` call for each request, awaited in \`decodeHeaders\` (filters/calls), beside an async function without a call and a
\`fetch\` to a server on the same machine. CPU and memory are those of Envoy and the host; what the runtimes and the server use
themselves is not counted.

${asTable(callRows(report))}

## A streamed body

A 64 MiB response from an HTTP/1.1 upstream, upper-cased on its way, one connection.

${asTable(streamRows(report))}

## Ratios against the budgets

${asTable(ratioRows(report))}

## How the peers were made to work

- **Lua** runs inside Envoy: \`envoy_on_request\` and \`envoy_on_response\`, each one \`headers():replace\`.
- **ext_proc in Node** is \`bench/peers/ext_proc\`: \`@grpc/grpc-js\` and \`@grpc/proto-loader\` on a unix socket, an async handler
  for each message. At first 2–9 % of its requests failed under load with "remote refused stream reset". Cause: Envoy
  half-closes and then resets the gRPC call of every request; Node's HTTP/2 server counts resets since its mending of
  the rapid-reset attack and closes the connection after 1000; calls that arrive meanwhile are refused. The runtime flag
  \`envoy.reloadable_features.ext_proc_graceful_grpc_close\` lets Envoy wait for the server's end instead: no resets, one
  connection, no failures. Users of ext_proc with a server in Node need it, too.
- **ext_proc in Go** is \`bench/peers/ext_proc_go\`: grpc-go on a unix socket, with the same flag. Without \`go\` on the
  machine it is left out.
- A case with failed requests gets no ratio, and the run ends with status 1.
`;
