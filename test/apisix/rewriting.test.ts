/** redirect, response-rewrite, proxy-rewrite, echo: cases of APISIX's documentation and tests. */
import { gzipSync } from 'node:zlib';
import { headers, table } from './table.js';

table(
  'redirect',
  {
    'answers 302 unless told otherwise': {
      conf: { uri: '/test/add' },
      status: 302,
      headers: { location: '/test/add' },
      body: '',
      upstream: false,
    },
    'answers ret_code': { conf: { uri: '/test/add', ret_code: 301 }, status: 301, headers: { location: '/test/add' } },
    'puts variables in': {
      conf: { uri: '$uri/test/a${arg_name}c' },
      given: { path: '/hello?name=json' },
      status: 302,
      headers: { location: '/hello/test/ajsonc' },
    },
    'a lone dollar is one': {
      conf: { uri: '/foo$$uri' },
      given: { path: '/hello?name=json' },
      status: 302,
      headers: { location: '/foo$/hello' },
    },
    'leaves escaped variables alone': {
      conf: { uri: String.raw`\$uri/foo$uri\$uri/bar`, ret_code: 301 },
      given: { path: '/hello' },
      status: 301,
      headers: { location: String.raw`\$uri/foo/hello\$uri/bar` },
    },
    'a variable that is none is empty': {
      conf: { uri: '$uri/$bad_var/bar', ret_code: 301 },
      given: { path: '/hello' },
      status: 301,
      headers: { location: '/hello//bar' },
    },
    'host and request_uri': {
      conf: { uri: 'https://$host$request_uri', ret_code: 301 },
      given: { path: '/hello?a=1', host: 'foo.com:8080' },
      status: 301,
      headers: { location: 'https://foo.com/hello?a=1' },
    },
    'http_to_https: 301 for GET': {
      conf: { http_to_https: true, ret_code: 302 },
      given: { path: '/hello?q=1', host: 'foo.com' },
      status: 301,
      headers: { location: 'https://foo.com/hello?q=1' },
    },
    'http_to_https: 301 for HEAD': {
      conf: { http_to_https: true },
      given: { method: 'HEAD', path: '/hello', host: 'foo.com' },
      status: 301,
      headers: { location: 'https://foo.com/hello' },
    },
    'http_to_https: 308 for others': {
      conf: { http_to_https: true },
      given: { method: 'POST', path: '/hello', host: 'foo.com', body: 'x' },
      status: 308,
      headers: { location: 'https://foo.com/hello' },
    },
    'http_to_https: the port of plugin_attr': {
      conf: { http_to_https: true },
      config: { plugin_attr: { redirect: { https_port: 8443 } } },
      given: { path: '/hello', host: 'foo.com' },
      status: 301,
      headers: { location: 'https://foo.com:8443/hello' },
    },
    'http_to_https: https goes on': { conf: { http_to_https: true }, given: { scheme: 'https' }, upstream: {} },
    regex_uri: {
      conf: { regex_uri: ['^/test/(.*)', 'http://test.com/${1}'], ret_code: 301 },
      given: { path: '/test/1' },
      status: 301,
      headers: { location: 'http://test.com/1' },
    },
    'regex_uri that does not match goes on': {
      conf: { regex_uri: ['^/test/(.*)', 'http://test.com/${1}'] },
      given: { path: '/hello' },
      body: 'hello world\n',
    },
    encode_uri: {
      conf: { regex_uri: ['^/test/(.*)', 'http://test.com/${1}'], ret_code: 301, encode_uri: true },
      given: { path: '/test/with%20space' },
      status: 301,
      headers: { location: 'http://test.com/with%20space' },
    },
    append_query_string: {
      conf: { uri: '$uri', append_query_string: true },
      given: { path: '/hello?name=json' },
      status: 302,
      headers: { location: '/hello?name=json' },
    },
    'append_query_string to one that is there': {
      conf: { regex_uri: ['^/test/(.*)', 'http://test.com/${1}?q=apisix'], append_query_string: true },
      given: { path: '/test/hello?o=apache' },
      status: 302,
      headers: { location: 'http://test.com/hello?q=apisix&o=apache' },
    },
    'line ends of the client stay in the value': {
      conf: { uri: '$uri' },
      given: { path: '/a%0d%0ax-evil:1' },
      status: 302,
      headers: { location: '/a%0D%0Ax-evil:1', 'x-evil': undefined },
    },
  },
  [
    [{ ret_code: 302 }, 'value should match only one schema, but matches none'],
    [{ http_to_https: true, uri: '/hello' }, 'value should match only one schema, but matches both schemas 1 and 3'],
    [
      { http_to_https: true, append_query_string: true },
      'only one of `http_to_https` and `append_query_string` can be configured.',
    ],
    [{ uri: '/a', ret_code: 100 }, 'property "ret_code" validation failed: expected 100 to be at least 200'],
    [{ uri: '/a', ret_code: '302' }, 'property "ret_code" validation failed: wrong type: expected integer, got string'],
    [{ regex_uri: ['^/a'] }, 'property "regex_uri" validation failed: expect array to have at least 2 items'],
    [{ regex_uri: ['(', '/'] }, 'invalid regex_uri((, /), err:pcre_compile() failed'],
  ],
);

const full = {
  status: 200,
  headers: [
    ['content-type', 'application/xml'],
    ['etag', '"33a6"'],
    ['last-modified', 'x'],
    ['content-length', '12'],
    ['x-server-id', '100'],
  ],
} as const;

table(
  'response-rewrite',
  {
    'headers and body': {
      conf: { headers: { 'X-Server-id': 3, 'X-Server-status': 'on', 'Content-Type': '' }, body: 'new body\n' },
      given: { upstream: full },
      body: 'new body\n',
      headers: { 'x-server-id': '3', 'x-server-status': 'on', 'content-type': undefined },
    },
    'a new body is no longer what the headers said': {
      conf: { body: 'new body2\n' },
      given: { upstream: { ...full, headers: [...full.headers, ['content-encoding', 'gzip']] } },
      body: 'new body2\n',
      headers: {
        'x-server-id': '100',
        'content-type': 'application/xml',
        'content-encoding': undefined,
        etag: undefined,
        'last-modified': undefined,
        'content-length': undefined,
      },
    },
    'a status and a location': {
      conf: { headers: { Location: 'https://www.iresty.com' }, status_code: 302 },
      status: 302,
      headers: { location: 'https://www.iresty.com' },
      body: 'hello world\n',
    },
    base64: { conf: { body: 'SGVsbG8K', body_base64: true }, body: 'Hello\n' },
    'vars that hold': {
      conf: { body: 'new body3\n', status_code: 403, vars: [['status', '==', 500]] },
      given: { upstream: { status: 500 } },
      status: 403,
      body: 'new body3\n',
    },
    'vars that do not': {
      conf: { body: 'new body3\n', status_code: 403, vars: [['status', '==', 500]] },
      body: 'hello world\n',
    },
    'variables in headers': {
      conf: { headers: { 'X-A': '$remote_addr', 'X-B': 'from $remote_addr to $balancer_ip:$balancer_port' } },
      headers: { 'x-a': '127.0.0.1', 'x-b': 'from 127.0.0.1 to 10.9.8.7:1980' },
    },
    'an empty body': { conf: { body: '' }, body: '' },
    'a body for a response without one': { conf: { body: 'now\n' }, given: { upstream: { body: '' } }, body: 'now\n' },
    add: {
      conf: { headers: { add: ['Cache-Control: no-cache', 'Cache-Control : max-age=0, must-revalidate'] } },
      headers: { 'cache-control': 'no-cache, max-age=0, must-revalidate' },
    },
    'add with one word': { conf: { headers: { add: ['X-Server-test:a'] } }, headers: { 'x-server-test': 'a' } },
    'add, then set': {
      conf: { headers: { add: ['Cache-Control: no-cache'], set: { 'Cache-Control': 'max-age=0, must-revalidate' } } },
      headers: { 'cache-control': 'max-age=0, must-revalidate' },
    },
    'remove last': {
      conf: {
        headers: {
          add: ['Set-Cookie: a=b; Max-Age=1'],
          set: { 'Cache-Control': 'x' },
          remove: ['Set-Cookie', 'Cache-Control'],
        },
      },
      headers: { 'set-cookie': undefined, 'cache-control': undefined },
    },
    'filters: the first match': { conf: { filters: [{ regex: 'hello', replace: 'test' }] }, body: 'test world\n' },
    'filters: all of them': {
      conf: { filters: [{ regex: 'l', replace: 't', scope: 'global' }] },
      body: 'hetto wortd\n',
    },
    'filters: one after the other': {
      conf: {
        filters: [
          { regex: 'hello', replace: 'HELLO' },
          { regex: 'L', replace: 'T' },
        ],
      },
      body: 'HETLO world\n',
    },
    'filters: groups': { conf: { filters: [{ regex: '(\\w+) (\\w+)', replace: '$2 ${1}' }] }, body: 'world hello\n' },
    'filters see a body of many pieces as one': {
      conf: { filters: [{ regex: 'lo wo', replace: '-' }] },
      given: { upstream: { body: ['hel', 'lo', ' wor', 'ld'].map((piece) => Buffer.from(piece)) } },
      body: 'hel-rld',
    },
    'filters unpack gzip': {
      conf: { filters: [{ regex: 'hello', replace: 'test' }] },
      given: { upstream: { headers: [['content-encoding', 'gzip']], body: [gzipSync('hello world\n')] } },
      body: 'test world\n',
      headers: { 'content-encoding': undefined },
    },
    'max_resp_body_size cuts before filtering': {
      conf: { max_resp_body_size: 5, filters: [{ regex: 'hello', replace: 'HELLO' }] },
      body: 'HELLO',
    },
  },
  [
    [{ status_code: 599 }, 'property "status_code" validation failed: expected 599 to be at most 598'],
    [{ body: 2 }, 'property "body" validation failed: wrong type: expected string, got number'],
    [{ status_code: 200, headers: { '': 2 } }, 'invalid field length in header'],
    [{ status_code: 200, headers: { 'X-Name': {} } }, 'invalid type as header value'],
    [{ body: '1', body_base64: true }, 'invalid base64 content'],
    [{ body: '', body_base64: true }, 'invalid base64 content'],
    [{ body_base64: true }, 'invalid base64 content'],
    [{ vars: [[]] }, "failed to validate the 'vars' expression: rule too short"],
    [
      { body: 'test', filters: [{ regex: 'l', replace: 'm' }] },
      'failed to validate dependent schema for "filters|body": value wasn\'t supposed to match schema',
    ],
    [{ filters: [] }, 'property "filters" validation failed: expect array to have at least 1 items'],
    [
      { filters: [{ regex: 'l' }] },
      'property "filters" validation failed: failed to validate item 1: property "replace" is required',
    ],
    [
      { filters: [{ regex: '', replace: 'm' }] },
      'property "filters" validation failed: failed to validate item 1: property "regex" validation failed: string too short, expected at least 1, got 0',
    ],
    [
      { filters: [{ regex: 'l', replace: 'm', scope: '' }] },
      'property "filters" validation failed: failed to validate item 1: property "scope" validation failed: matches none of the enum values',
    ],
    [
      { filters: [{ regex: 'hello', replace: 'HELLO', options: 'h' }] },
      'regex "hello" validation failed: unknown flag "h" (flags "h")',
    ],
    [{ headers: {} }, 'property "headers" validation failed: object matches none of the required'],
    [{ headers: { add: [] } }, 'property "headers" validation failed: object matches none of the required'],
    [{ headers: { remove: ['a:b'] } }, 'property "headers" validation failed: object matches none of the required'],
  ],
);

table(
  'proxy-rewrite',
  {
    'uri and host': {
      conf: { uri: '/apisix/home', host: 'apisix.iresty.com' },
      given: { path: '/hello' },
      upstream: { ':path': '/apisix/home', ':authority': 'apisix.iresty.com' },
    },
    'keeps the query': {
      conf: { uri: '/plugin_proxy_rewrite_args' },
      given: { path: '/hello?q=apisix&a=iresty' },
      upstream: { ':path': '/plugin_proxy_rewrite_args?q=apisix&a=iresty' },
    },
    'joins two queries': {
      conf: { uri: '/x?q=apisix' },
      given: { path: '/hello?a=iresty' },
      upstream: { ':path': '/x?q=apisix&a=iresty' },
    },
    'variables in uri': {
      conf: { uri: '/$arg_new_uri' },
      given: { path: '/test?new_uri=hello' },
      upstream: { ':path': '/hello?new_uri=hello' },
    },
    regex_uri: {
      conf: { regex_uri: ['^/test/(.*)/(.*)/(.*)', '/$1_$2_$3'] },
      given: { path: '/test/plugin/proxy/rewrite' },
      upstream: { ':path': '/plugin_proxy_rewrite' },
    },
    'regex_uri with a query': {
      conf: { regex_uri: ['^/test/(.*)/(.*)/(.*)', '/$1_$2_$3?a=c'] },
      given: { path: '/test/plugin/proxy/rewrite' },
      upstream: { ':path': '/plugin_proxy_rewrite?a=c' },
    },
    'several regex_uri: the first that matches': {
      conf: {
        regex_uri: ['^/test/(.*)/(.*)/(.*)/hello', '/hello/$1_$2_$3', '^/test/(.*)/(.*)/(.*)/world', '/world/$1_$2_$3'],
      },
      given: { path: '/test/plugin/proxy/rewrite/world' },
      upstream: { ':path': '/world/plugin_proxy_rewrite' },
    },
    'uri wins over regex_uri': {
      conf: { uri: '/hello', regex_uri: ['^/test/(.*)', '/$1'] },
      given: { path: '/test/x' },
      upstream: { ':path': '/hello' },
    },
    'regex_uri that does not match': {
      conf: { regex_uri: ['^/test/(.*)', '/$1'] },
      given: { path: '/hello?a=1' },
      upstream: { ':path': '/hello?a=1' },
    },
    'headers of the old form set, and an empty value removes': {
      conf: { headers: { 'X-Api-Version': 'v2', 'X-Api-Engine': 'APISIX', 'X-Api-Test': '' } },
      given: headers({ 'x-api-version': 'v1', 'x-api-test': 'foo' }),
      upstream: { 'x-api-version': 'v2', 'x-api-engine': 'APISIX', 'x-api-test': undefined },
    },
    'add, set, remove': {
      conf: { headers: { add: { test: '123' }, set: { test2: '2233' }, remove: ['hello'] } },
      given: headers({ test: 'sssss', hello: 'word' }),
      upstream: { test: 'sssss, 123', test2: '2233', hello: undefined },
    },
    'set is after add': {
      conf: { headers: { add: { test: 'test_in_add' }, set: { test: 'test_in_set' } } },
      upstream: { test: 'test_in_set' },
    },
    'values that are lists': {
      conf: { regex_uri: ['^/test/(.*)', '/x'], headers: { add: { 'x-multi': ['cap-$1', '$http_x_src'] } } },
      given: { path: '/test/echo', ...headers({ 'x-src': 'from-src', 'x-multi': 'origin' }) },
      upstream: { 'x-multi': 'origin, cap-echo, from-src' },
    },
    'what a client sends is no template': {
      conf: {
        regex_uri: ['^/test/(.*)', '/x'],
        headers: { set: { 'x-a': '$1 $http_b', 'x-c': 'price: $$5' } },
      },
      given: { path: '/test/$server_addr', ...headers({ b: '$1 ${hostname}' }) },
      upstream: { 'x-a': '$server_addr $1 ${hostname}', 'x-c': 'price: $' },
    },
    'groups that took no part are empty': {
      conf: {
        regex_uri: ['^/test/(not_matched)?.*', '/echo'],
        headers: { add: { 'X-Request-ID': 'test1/$1/$2/test2' } },
      },
      given: { path: '/test/plugin' },
      upstream: { 'x-request-id': 'test1///test2' },
    },
    method: { conf: { method: 'POST' }, upstream: { ':method': 'POST' } },
    'paths are encoded anew': {
      conf: { regex_uri: ['^/a(.*)', '/b$1'] },
      given: { path: '/a%0d%0aX: 1' },
      upstream: { ':path': '/b%0D%0AX:%201' },
    },
    'a question mark that came encoded begins no query': {
      conf: { uri: '/$uri' },
      given: { path: '/hello%3f0z=700%26a=c?b=1' },
      upstream: { ':path': '//hello%253F0z=700&a=c?b=1' },
    },
    'use_real_request_uri_unsafe leaves them': {
      conf: { regex_uri: ['/hello/(.+)', '/hello?v=$1'], use_real_request_uri_unsafe: true },
      given: { path: '/hello/%ED%85%8C' },
      upstream: { ':path': '/hello?v=%ED%85%8C' },
    },
    'redirect sees the path that came': {
      conf: { uri: '/rewritten' },
      plugins: [{ name: 'redirect', conf: { uri: '$uri/x' } }],
      given: { path: '/hello' },
      status: 302,
      headers: { location: '/hello/x' },
    },
  },
  [
    [{}, 'expect object to have at least 1 properties'],
    [{ uri: 'home' }, String.raw`property "uri" validation failed: failed to match pattern "^\\/.*" with "home"`],
    [{ uri: '/a', method: 'GET1' }, 'property "method" validation failed: matches none of the enum values'],
    [{ regex_uri: ['^/test/(.*)'] }, 'property "regex_uri" validation failed: expect array to have at least 2 items'],
    [{ regex_uri: ['^/test/(.*)', '/$1', '^/x'] }, 'The length of regex_uri should be an even number'],
    [{ regex_uri: ['[^/test/(.*)', '/$1'] }, 'invalid regex_uri([^/test/(.*), /$1)'],
    [{ regex_uri: ['^/test/(.*)', '/$`1'] }, /invalid capturing variable name found/],
    [{ headers: { 'X-Api:Version': 'v2' } }, 'invalid field character in header'],
    [{ headers: { 'X-Api-Version': 'v2\r\n' } }, 'invalid value character in header'],
    [{ host: 'a b' }, 'property "host" validation failed: failed to match pattern'],
  ],
);

table(
  'echo',
  {
    'before, body, after': {
      conf: {
        before_body: 'before the body modification ',
        body: 'hello upstream',
        after_body: ' after the body modification.',
        headers: { Location: 'https://www.iresty.com', Authorization: 'userpass' },
      },
      body: 'before the body modification hello upstream after the body modification.',
      headers: { location: 'https://www.iresty.com', authorization: 'userpass' },
    },
    'before alone': {
      conf: { before_body: 'before the body modification ' },
      body: 'before the body modification hello world\n',
    },
    'after alone': { conf: { after_body: 'end' }, body: 'hello world\nend' },
    'body of many pieces': {
      conf: { body: 'hello upstream' },
      given: { upstream: { body: [Buffer.from('a'), Buffer.from('b')] } },
      body: 'hello upstream',
    },
    'before and after around many pieces': {
      conf: { before_body: '<', after_body: '>' },
      given: { upstream: { body: [Buffer.from('a'), Buffer.from('b')] } },
      body: '<ab>',
    },
    'headers alone leave the body': { conf: { headers: { 'x-a': 1 } }, body: 'hello world\n', headers: { 'x-a': '1' } },
    'a length that is no longer true goes': {
      conf: { after_body: '!' },
      given: { upstream: { headers: [['content-length', '12']] } },
      headers: { 'content-length': undefined },
    },
    'a response without a body': { conf: { body: 'x' }, given: { upstream: { body: '' } }, body: 'x' },
    'no body for 204': { conf: { body: 'x' }, given: { upstream: { status: 204, body: '' } }, status: 204, body: '' },
    'no body for HEAD': { conf: { body: 'x' }, given: { method: 'HEAD' }, body: '' },
  },
  [
    [{}, 'expect object to have at least 1 properties'],
    [{ after_body: 10 }, 'property "after_body" validation failed: wrong type: expected string, got number'],
    [{ headers: {} }, 'property "headers" validation failed: expect object to have at least 1 properties'],
    [{ headers: { 'a:b': '1' } }, 'invalid field character in header'],
  ],
);
