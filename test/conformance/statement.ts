// One numbered normative statement of an MQTT specification, and whom it binds.
//
// Identifiers are those of the OASIS standards: MQTT 3.1.1 (29 October 2014) and MQTT 5.0 (7 March 2019, appendix
// B). What a statement says is told in our own words; the standard is the authority.
//
//   server       the broker must do it, or must answer a client that does not: at least one case names it
//   client only  nothing a server does or could notice
//   not testable no sequence of bytes can show it here; the reason is part of the entry

export type SpecVersion = '3.1.1' | '5.0';

export interface Statement {
  /** Without brackets: `MQTT-3.1.0-1`. */
  readonly id: string;
  readonly version: SpecVersion;
  readonly says: string;
  readonly concern: 'server' | 'client only' | 'not testable';
  /** Why there is no case; empty for `server`. */
  readonly reason: string;
}

export interface StatementWriter {
  server(number: string, says: string): Statement;
  clientOnly(number: string, says: string): Statement;
  notTestable(number: string, says: string, reason: string): Statement;
}

/** Makes statements of one version; `number` is the identifier without `MQTT-`. */
export function statementsOf(version: SpecVersion): StatementWriter {
  const statement = (number: string, says: string, concern: Statement['concern'], reason: string): Statement => ({
    id: `MQTT-${number}`,
    version,
    says,
    concern,
    reason,
  });
  return {
    server: (number, says) => statement(number, says, 'server', ''),
    clientOnly: (number, says) => statement(number, says, 'client only', 'binds clients; a server cannot notice'),
    notTestable: (number, says, reason) => statement(number, says, 'not testable', reason),
  };
}
