import { expect, test, vi } from 'vitest';
import type { FilterConfigMessage } from '../channel/codec/index.js';
import type { ToWorker, Verdict } from '../thread/messages.js';
import { Judgements } from './judgements.js';
import type { Place } from './place.js';

const config = (id: number): FilterConfigMessage => ({ id }) as FilterConfigMessage;
const yes: Verdict = { accepted: true, message: '', phases: 1, attributes: [] };
const lacking: Verdict = { accepted: false, unavailable: true, message: 'gone', phases: 0, attributes: [] };
const no: Verdict = { accepted: false, message: 'no', phases: 0, attributes: [] };

function place(): { place: Place; asked: ToWorker[] } {
  const asked: ToWorker[] = [];
  const post = (message: ToWorker): void => void asked.push(message);
  return { place: { post, serving: {} } as unknown as Place, asked };
}

function stage(): { judgements: Judgements; told: string[] } {
  const told: string[] = [];
  const judgements = new Judgements({
    verdict: (connection, id, { accepted, unavailable = false }) =>
      void told.push(`${connection}/${id} ${unavailable ? 'unavailable' : accepted}`),
    refusedAgain: (_place, { id }, { message }) => void told.push(`again ${id}: ${message}`),
  });
  return { judgements, told };
}

test('acceptance needs all threads, a refusal one', () => {
  const { judgements, told } = stage();
  const [a, b] = [place(), place()];
  judgements.judge(1, config(1), [a.place, b.place]);
  judgements.judge(1, config(2), [a.place, b.place]);
  judgements.heard(a.place, 1, 1, yes);
  expect(told).toEqual([]);
  judgements.heard(a.place, 1, 2, no);
  judgements.heard(b.place, 1, 2, yes);
  judgements.heard(b.place, 1, 1, yes);
  expect(told).toEqual(['1/2 false', '1/1 true']);
});

test('a thread that is gone is not waited for', () => {
  const { judgements, told } = stage();
  const [a, b] = [place(), place()];
  judgements.judge(1, config(1), [a.place, b.place]);
  judgements.heard(a.place, 1, 1, yes);
  judgements.left(b.place);
  expect(told).toEqual(['1/1 true']);
});

test('where all are gone the next one judges, and learns what is known', () => {
  const { judgements, told } = stage();
  const [a, b] = [place(), place()];
  judgements.judge(1, config(1), [a.place]);
  judgements.heard(a.place, 1, 1, yes);
  judgements.judge(1, config(2), [a.place]);
  judgements.left(a.place);
  judgements.judge(1, config(3), []);
  judgements.forget(1, 3);
  expect(told).toEqual(['1/1 true']);
  judgements.joined(b.place);
  expect(b.asked).toMatchObject([
    { config: { id: 1 }, again: true },
    { config: { id: 2 }, again: false },
  ]);
  judgements.heard(b.place, 1, 2, yes);
  judgements.heard(b.place, 1, 1, yes);
  expect(told).toEqual(['1/1 true', '1/2 true']);
  judgements.disconnect(1);
  judgements.heard(b.place, 1, 1, yes);
  expect(told).toHaveLength(2);
});

test('a thread that comes later and refuses is told of, and asked again until it accepts', () => {
  vi.useFakeTimers();
  try {
    const { judgements, told } = stage();
    const [a, b] = [place(), place()];
    judgements.judge(1, config(1), [a.place]);
    judgements.heard(a.place, 1, 1, yes);
    judgements.joined(b.place);
    judgements.heard(b.place, 1, 1, no);
    expect(told).toEqual(['1/1 true', 'again 1: no']);
    expect(b.asked).toHaveLength(1);
    vi.advanceTimersByTime(1_000);
    expect(b.asked).toHaveLength(2);
    judgements.heard(b.place, 1, 1, yes);
    vi.advanceTimersByTime(5_000);
    expect([told.length, b.asked.length]).toEqual([2, 2]);
  } finally {
    vi.useRealTimers();
  }
});

test('where a thread lacks the filter the module hears so at once, and the rest when it is there', () => {
  const { judgements, told } = stage();
  const [a, b] = [place(), place()];
  judgements.judge(1, config(1), [a.place, b.place]);
  judgements.heard(a.place, 1, 1, lacking);
  judgements.heard(b.place, 1, 1, yes);
  expect(told).toEqual(['1/1 unavailable']);
  judgements.loaded(a.place);
  expect(a.asked).toHaveLength(2);
  expect(b.asked).toHaveLength(1);
  judgements.heard(a.place, 1, 1, yes);
  expect(told).toEqual(['1/1 unavailable', '1/1 true']);
});

test('what was accepted can become unavailable and come back; a refusal stays', () => {
  const { judgements, told } = stage();
  const [a, b, c] = [place(), place(), place()];
  judgements.judge(1, config(1), [a.place]);
  judgements.heard(a.place, 1, 1, yes);
  judgements.left(a.place);
  judgements.joined(b.place);
  judgements.heard(b.place, 1, 1, lacking);
  expect(told).toEqual(['1/1 true', '1/1 unavailable']);
  judgements.joined(c.place);
  judgements.heard(c.place, 1, 1, yes);
  expect(told).toHaveLength(2);
  judgements.left(b.place);
  expect(told.slice(2)).toEqual(['1/1 true']);
  judgements.judge(1, config(2), [c.place]);
  judgements.heard(c.place, 1, 2, lacking);
  judgements.loaded(c.place);
  judgements.heard(c.place, 1, 2, no);
  judgements.joined(a.place);
  judgements.heard(a.place, 1, 2, yes);
  expect(told.slice(3)).toEqual(['1/2 unavailable', '1/2 false']);
});
