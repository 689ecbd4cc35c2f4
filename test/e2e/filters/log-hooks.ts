import { logHooks } from './lib/log-hooks.js';

export default logHooks('log-hooks');
