/** APISIX's plugins in Envoy. A filter of one's own plugins is made the same way (README.md). */
import { apisix } from './core/index.js';
import { plugins } from './plugins/index.js';

export default apisix({ plugins });
