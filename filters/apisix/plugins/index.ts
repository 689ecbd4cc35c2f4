/** Every plugin that is shipped. */
import type { Plugin } from '../core/index.js';
import { basicAuth } from './basic-auth.js';
import { cors } from './cors.js';
import { csrf } from './csrf.js';
import { echo } from './echo.js';
import { faultInjection } from './fault-injection.js';
import { forwardAuth } from './forward-auth.js';
import { ipRestriction } from './ip-restriction.js';
import { jwtAuth } from './jwt-auth.js';
import { keyAuth } from './key-auth.js';
import { limitCount } from './limit-count.js';
import { limitReq } from './limit-req.js';
import { mocking } from './mocking.js';
import { proxyRewrite } from './proxy-rewrite.js';
import { realIp } from './real-ip.js';
import { redirect } from './redirect.js';
import { refererRestriction } from './referer-restriction.js';
import { requestId } from './request-id.js';
import { responseRewrite } from './response-rewrite.js';
import { uaRestriction } from './ua-restriction.js';
import { uriBlocker } from './uri-blocker.js';

export const plugins: readonly Plugin[] = [
  basicAuth,
  cors,
  csrf,
  echo,
  faultInjection,
  forwardAuth,
  ipRestriction,
  jwtAuth,
  keyAuth,
  limitCount,
  limitReq,
  mocking,
  proxyRewrite,
  realIp,
  redirect,
  refererRestriction,
  requestId,
  responseRewrite,
  uaRestriction,
  uriBlocker,
];
