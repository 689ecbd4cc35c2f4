import { defineFilter } from 'envoy-ts-filter';

/** Go's `ssl` plugin: what the connection's certificate says, in headers. */
export default defineFilter({
  name: 'go-ssl',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      const info = callbacks.streamInfo();
      const ssl = await info.downstreamSslConnection();
      if (ssl === undefined) {
        headers.set('x-ssl-tested', 'no-ssl');
        return;
      }
      headers.set('x-ssl-tested', 'yes');
      const facts = {
        'x-cert-mtls': String(ssl.mtls), // Go: PeerCertificatePresented and PeerCertificateValidated
        'x-cert-digest': ssl.sha256PeerCertificateDigest,
        'x-cert-subject': ssl.subjectPeerCertificate,
        'x-cert-subject-local': ssl.subjectLocalCertificate,
        'x-cert-dns-san': ssl.dnsSanPeerCertificate,
        'x-cert-dns-san-local': ssl.dnsSanLocalCertificate,
        'x-cert-uri-san': ssl.uriSanPeerCertificate,
        'x-cert-uri-san-local': ssl.uriSanLocalCertificate,
        'x-tls-version': ssl.tlsVersion,
        // What modules cannot ask Envoy: its set_filter_state filter before ours tells it.
        'x-cert-serial': await info.filterState.getString('cert.serial'),
        'x-cert-issuer': await info.filterState.getString('cert.issuer'),
        'x-cert-valid-from': await info.filterState.getString('cert.valid-from'),
        'x-cert-expiration': await info.filterState.getString('cert.expiration'),
        'x-cipher-suite': await info.filterState.getString('tls.cipher'),
      };
      for (const [name, value] of Object.entries(facts)) if (value !== undefined) headers.set(name, value);
    },
  }),
});
