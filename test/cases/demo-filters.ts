/** The demo filters, each with its config and its table of cases. */
import type { Filter, Json } from 'envoy-ts-filter';
import type { TestCase } from 'envoy-ts-filter/testing';
import auth from '../../filters/auth/index.js';
import * as authTable from '../../filters/auth/cases.js';
import gunzipRewrite from '../../filters/gunzip-rewrite/index.js';
import * as gunzipTable from '../../filters/gunzip-rewrite/cases.js';
import hello from '../../filters/hello/index.js';
import * as helloTable from '../../filters/hello/cases.js';
import redirect from '../../filters/redirect/index.js';
import * as redirectTable from '../../filters/redirect/cases.js';
import sse from '../../filters/sse/index.js';
import * as sseTable from '../../filters/sse/cases.js';
import streamReply from '../../filters/stream-reply/index.js';
import * as streamReplyTable from '../../filters/stream-reply/cases.js';
import upper from '../../filters/upper/index.js';
import * as upperTable from '../../filters/upper/cases.js';

export interface DemoFilter {
  readonly filter: Filter;
  readonly config?: Json;
  readonly cases: readonly TestCase[];
}

export const demoFilters: readonly DemoFilter[] = [
  { filter: auth, ...authTable },
  { filter: gunzipRewrite, ...gunzipTable },
  { filter: hello, ...helloTable },
  { filter: redirect, ...redirectTable },
  { filter: sse, ...sseTable },
  { filter: streamReply, ...streamReplyTable },
  { filter: upper, ...upperTable },
];
