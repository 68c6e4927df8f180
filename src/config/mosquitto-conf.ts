// A mosquitto.conf is not our TOML, but we know what it says: recognised, and written anew as TOML.
//
//   listener 1883 0.0.0.0          listen = ["tcp://0.0.0.0:1883"]
//   allow_anonymous true     ──►   allow_anonymous = true
//   password_file /etc/mosquitto/passwd     password_file = "/etc/mosquitto/passwd"
//
// Only told, never used: settings that mean something else here should be looked at by a person. What has no
// counterpart is named with its line.

export interface MosquittoTranslation {
  /** TOML with the same meaning. */
  readonly toml: string;
  /** `line 12: bridge settings have no counterpart`. */
  readonly remarks: readonly string[];
}

interface Line {
  readonly number: number;
  readonly name: string;
  readonly value: string;
}

interface MosquittoListener {
  readonly port: string;
  readonly host: string;
  isTls: boolean;
  isWebSocket: boolean;
}

/** Options that stand as they are, under our names. */
const texts: Readonly<Record<string, string>> = {
  password_file: 'password_file',
  acl_file: 'acl_file',
  certfile: 'tls_cert',
  keyfile: 'tls_key',
  cafile: 'tls_ca',
};
const flags: Readonly<Record<string, string>> = {
  allow_anonymous: 'allow_anonymous',
  require_certificate: 'require_certificate',
  use_identity_as_username: 'use_identity_as_username',
};
const limits: Readonly<Record<string, string>> = {
  max_connections: 'connections_max',
  max_inflight_messages: 'inflight_outbound_max',
  max_queued_messages: 'queue_messages_max',
  max_queued_bytes: 'queue_bytes_max',
};
/** What is so here anyway, or says nothing about what the broker does. */
const silent: readonly string[] = [
  'per_listener_settings',
  'pid_file',
  'persistence_file',
  'autosave_interval',
  'autosave_on_changes',
  'log_dest',
  'log_timestamp',
  'log_timestamp_format',
  'connection_messages',
  'socket_domain',
  'retain_available',
  'set_tcp_nodelay',
  'user',
];

/** True for lines `name value` without `=` where at least one name is mosquitto's. */
export function looksLikeMosquittoConf(text: string): boolean {
  const lines = settingLines(text);
  const known = [
    'listener',
    'port',
    'persistence',
    'include_dir',
    'log_type',
    ...[texts, flags, limits].flatMap((names) => Object.keys(names)),
    ...silent,
  ];
  return (
    lines.length > 0 &&
    lines.every(({ value }) => !value.startsWith('=')) &&
    lines.some(({ name }) => known.includes(name))
  );
}

export function translateMosquittoConf(text: string): MosquittoTranslation {
  const settings = new Map<string, string>();
  const limitsFound = new Map<string, string>();
  const remarks: string[] = [];
  const listeners: MosquittoListener[] = [];
  let persistence = false;
  let location = '/var/lib/mosquitto/';
  for (const { number, name, value } of settingLines(text)) {
    const current = listeners.at(-1);
    if (name === 'listener' || name === 'port') listeners.push(listenerOf(value));
    else if (name === 'protocol') {
      if (current !== undefined) current.isWebSocket = value === 'websockets';
    } else if (name === 'persistence') persistence = value === 'true';
    else if (name === 'persistence_location') location = value;
    else if (name === 'sys_interval') settings.set('sys_interval', JSON.stringify(`${value}s`));
    else if (name === 'log_type') {
      if (value === 'all' || value === 'debug') settings.set('log_level', '"debug"');
    } else if (Object.hasOwn(texts, name)) {
      settings.set(texts[name] ?? name, JSON.stringify(value));
      if (name === 'certfile' && current !== undefined) current.isTls = true;
    } else if (Object.hasOwn(flags, name)) settings.set(flags[name] ?? name, value === 'true' ? 'true' : 'false');
    else if (Object.hasOwn(limits, name)) {
      // mosquitto's 0 and -1 mean no bound; here the ceiling holds then.
      if (Number(value) > 0) limitsFound.set(limits[name] ?? name, value);
    } else if (!silent.includes(name)) remarks.push(`line ${number}: ${name} has no counterpart`);
  }
  // mosquitto loses what it had in memory; the directory here is weir's own.
  if (persistence) settings.set('data_dir', '"/var/lib/weir-broker"');
  if (persistence) remarks.push(`what mosquitto kept in ${location} is not taken over`);
  const listen = listeners.map((listener) => JSON.stringify(urlOf(listener)));
  const toml = [
    ...(listen.length > 0 ? [`listen = [${listen.join(', ')}]`] : []),
    ...[...settings].map(([key, value]) => `${key} = ${value}`),
    ...(limitsFound.size > 0 ? ['', '[limits]', ...[...limitsFound].map(([key, value]) => `${key} = ${value}`)] : []),
  ];
  return { toml: toml.join('\n'), remarks };
}

function settingLines(text: string): readonly Line[] {
  return text.split('\n').flatMap((raw, index) => {
    const match = /^\s*([a-z_]+)(?:\s+(.*?))?\s*$/.exec(raw);
    if (raw.trim() === '' || raw.trimStart().startsWith('#')) return [];
    return [{ number: index + 1, name: match?.[1] ?? raw.trim(), value: match?.[2] ?? '=' }];
  });
}

/** `1883`, `1883 10.0.0.1`, or `0 /run/mosquitto.sock`. */
function listenerOf(value: string): MosquittoListener {
  const [port = '', host = '0.0.0.0'] = value.split(/\s+/);
  return { port, host, isTls: false, isWebSocket: false };
}

function urlOf({ port, host, isTls, isWebSocket }: MosquittoListener): string {
  if (port === '0' && host.startsWith('/')) return `unix://${host}`;
  const scheme = isWebSocket ? (isTls ? 'wss' : 'ws') : isTls ? 'tls' : 'tcp';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
