// Every hard ceiling of weir: with its unit, why it has this size, and how it stands to its neighbours.
//
// Ceilings are code, not settings. What an operator may set is in config/, and is checked against these.

import { strict as assert } from 'node:assert';

// ── IoT Hub's own limits (Microsoft's published quotas): unmodified clients expect exactly these ──

/** Body plus all property names and values of one message. */
export const messageBytesMax = 262_144;
/** Desired or reported section of one twin, by IoT Hub's count (model/twin-rules.ts). */
export const twinSectionBytesMax = 32_768;
/** The same section as JSON text: both sections of a twin travel in one message. */
export const twinSectionJsonBytesMax = 98_304;
/** JSON text of one patch: room for a section and for as many deletions. */
export const twinPatchJsonBytesMax = 131_072;
/** Request or response payload of one direct method. */
export const methodPayloadBytesMax = 131_072;

// ── local HTTP sockets (admin, workload, hub service API) ──

/** One request body on a local socket: a deployment manifest is the largest thing anybody sends. */
export const httpBodyBytesMax = 4_194_304;

assert(twinSectionBytesMax <= twinSectionJsonBytesMax, 'what IoT Hub counts is most often shorter than its text');
assert(2 * twinSectionJsonBytesMax + 1024 <= messageBytesMax, 'a twin travels as one message');
assert(twinPatchJsonBytesMax <= messageBytesMax, 'a patch of a twin travels as one message');
assert(messageBytesMax <= httpBodyBytesMax, 'whatever fits a message fits a request');

// ── upstream: the link to the hub ──

/** Publishes under way to the hub without acknowledgement, telemetry and commands together. */
export const upstreamInflightMax = 1024;
/** Those of telemetry: fills 10 000 messages a second over 100 ms; the rest of the places is for commands only. */
export const upstreamWindowMessages = 960;
/** Bytes of telemetry under way: fills 10 MB/s over 100 ms, and bounds what a loss of the link repeats. */
export const upstreamWindowBytes = 1_048_576;
/** For how long the hub may acknowledge nothing of what is under way, before the link is dialled anew, milliseconds. */
export const upstreamAckMsMax = 120_000;
/** Twin requests that wait for the hub; beyond it a request is refused at once. */
export const upstreamRequestsPendingMax = 256;
/** Filters in one SUBSCRIBE to the hub: packets stay small when many leaf devices listen. */
export const upstreamFiltersPerPacket = 100;
/** Time for the hub to answer one twin request, milliseconds. */
export const upstreamRequestTimeoutMs = 30_000;

assert(upstreamWindowMessages < upstreamInflightMax, 'a command finds a place however long the backlog is');
assert(messageBytesMax <= upstreamWindowBytes, 'the window holds any message');

/** Messages of one frame to the hub: what a message costs beside itself is shared by so many. */
export const telemetryFrameMessagesMax = 64;
/** Bytes of one: a command waits a third of a second for it at 100 kB/s. On slower links batches, and so frames, are smaller. */
export const telemetryFrameBytesMax = 32_768;
/** Lanes of which it is remembered up to where messages go singly; of the one forgotten a frame may be refused once more. */
export const upstreamSingleStreamsMax = 64;

assert(telemetryFrameMessagesMax < upstreamWindowMessages, 'several frames are under way');
assert(telemetryFrameBytesMax <= messageBytesMax, 'a frame travels as one message');
assert(telemetryFrameBytesMax < 0xffff, 'a length in a frame fits two bytes, and one number of two bytes is none');

// ── configuration file: what an operator may set, and between which bounds ──

/** The configuration file itself. A hundred times what anybody writes by hand. */
export const configFileBytesMax = 1_048_576;
/** A queue that holds less than four full messages is not a queue. */
export const configQuotaBytesMin = 1_048_576;
/** One tebibyte: beyond every flash card; SQLite's own ceiling is far above. */
export const configQuotaBytesMax = 1_099_511_627_776;
/** A sender waits this long for its acknowledgement; clients of 3.1.1 start to repeat at some ten seconds. */
export const configCommitDelayMsMax = 1_000;
/** Messages of one commit: beyond that a commit gets slower and flash gains nothing. */
export const configCommitMessagesMax = 16_384;
/** Bytes of one commit: from one block of flash to where it gains nothing. */
export const configCommitBytesMin = 4_096;
export const configCommitBytesMax = 4_194_304;
/** Space kept free beside the store: one tebibyte, beyond every flash card. */
export const configReserveBytesMax = 1_099_511_627_776;
/** Bytes that a device takes in its life: from a small card's to some thousand terabytes. */
export const configFlashEnduranceBytesMin = 1_073_741_824;
export const configFlashEnduranceBytesMax = 4_503_599_627_370_496;
/** Years that storage may be asked to last. */
export const configFlashLifeYearsMax = 100;
/** Ten years, in seconds: IoT Edge's manifests use 2147483647 as "for ever", larger than any use. */
export const configTimeToLiveSecsMax = 2_147_483_647;
/** Time between SIGTERM and SIGKILL of a module. */
export const configGraceMsMax = 600_000;
/** Messages a second of a backlog that fresh messages pass: beyond it the rate limits nothing. */
export const configBacklogRateMax = 1_000_000;
/** The shim takes no smaller log file: two of its longest lines must fit. */
export const configLogBytesMin = 16_384;
/** One gibibyte a log file. */
export const configLogBytesMax = 1_073_741_824;
/** The shim numbers its log files with two digits. */
export const configLogFilesMax = 99;
/** First number of modules' own users; the range after it fits the kernel's 31 bits that every tool takes. */
export const configFirstUidMax = 2_147_000_000;

assert(configQuotaBytesMin >= messageBytesMax * 4, 'the smallest queue holds several of the largest messages');

// ── hub ──

/** Device identities of one hub. A single SQLite file answers as fast with a million rows as with ten. */
export const hubDevicesMax = 1_000_000;
/** Module identities of one device, the two system modules included: IoT Hub's limit for an edge device. */
export const hubModulesPerDeviceMax = 50;
/** Rows of one page of a registry listing: IoT Hub's `top` limit. */
export const hubListRowsMax = 1000;
/** Decoded bytes of one symmetric key: IoT Hub takes 16 to 64. */
export const hubKeyBytesMin = 16;
export const hubKeyBytesMax = 64;
/**
 * Leaf devices and their modules behind one gateway. The gateway keeps all of them in memory and in one sealed file, some
 * 300 bytes each; IoT Hub allows 100 devices.
 */
export const scopeIdentitiesMax = 2048;
/** Identities in one page of a scope, on its way from the hub to the gateway: some 50 KB. */
export const scopePageIdentitiesMax = 100;
/** Bytes of a page that a gateway takes; a larger one is not the hub's. */
export const scopePageBytesMax = 262_144;
/** The gateway's sealed copy of its scope; a larger file is not its own. */
export const scopeFileBytesMax = 4_194_304;
/** Between two readings of the scope, milliseconds: a script that creates a thousand devices tells of each. */
export const scopeSyncMsMin = 1000;
/** For how long a device that is not in the scope waits for a reading of it that is under way, milliseconds. */
export const scopeWaitMsMax = 5000;
/** Until a reading that failed is repeated, milliseconds; the hub also tells again when the link is back. */
export const scopeRetryMs = 10_000;
/** Levels of objects and arrays inside one twin section: IoT Hub's limit. */
export const twinDepthMax = 10;
/** UTF-8 bytes of one twin key. */
export const twinKeyBytesMax = 1024;
/** UTF-8 bytes of one text value in a twin. */
export const twinTextBytesMax = 4096;
/** Bytes of the tags of one twin, counted like a section. */
export const twinTagsBytesMax = 8192;
/** Whole numbers in twins lie in [-2^52, 2^52). */
export const twinIntegerMax = 2 ** 52 - 1;
export const twinIntegerMin = -(2 ** 52);
/** Problems named in one refusal of a twin or a manifest; more are only counted, so that an answer stays readable. */
export const problemsMax = 100;
/** Messages of one commit of the event log: bounds the pause of the event loop while it is written. */
export const hubCommitMessagesMax = 1024;
/** Bytes of one commit of the event log. */
export const hubCommitBytesMax = 8_388_608;
/** Bytes waiting to be committed before further telemetry is refused: memory bound of a stalled disk. */
export const hubPendingBytesMax = 67_108_864;
/** What a message counts there beside its body: of empty ones a frame holds many in few bytes. */
export const hubPendingMessageBytes = 512;
/** Streams remembered per device for recognising repetitions; the one unused for longest is forgotten first. */
export const hubStreamsPerDeviceMax = 1024;
/** Events handed to one reader at a time. */
export const hubReadEventsMax = 256;
/** Bytes handed to one reader at a time; one event is always handed over, however large. */
export const hubReadBytesMax = 1_048_576;
/** Rows looked at per step when a reader wants one device only: bounds the pause of the event loop. */
export const hubScanEventsMax = 4096;
/** Rows removed per step by the age limit of the event log. */
export const hubExpireEventsMax = 4096;
/** Readers of the event log that may follow it at the same time. */
export const hubFollowersMax = 64;

/** Cloud-to-device messages that wait for one device: IoT Hub's number. A further one is refused. */
export const hubCloudMessagesPerDeviceMax = 50;
/** Body and properties of one: IoT Hub's number. */
export const hubCloudMessageBytesMax = 65_536;
/** Times that one is sent and not acknowledged, before it is given up: IoT Hub's usual number. */
export const hubCloudDeliveriesMax = 10;
/** How long one waits without a word about it, milliseconds: IoT Hub's hour. */
export const hubCloudLifeMs = 3_600_000;
/** The longest that it may wait, milliseconds: IoT Hub's two days. */
export const hubCloudLifeMsMax = 172_800_000;
/** Until a device that is there gets again what it did not acknowledge, milliseconds. */
export const hubCloudRetryMs = 1_000;
/** Expired ones taken out in one step. */
export const hubCloudExpireMax = 1_000;
/** Records of what became of them; the oldest go first. */
export const hubFeedbackRecordsMax = 10_000;

assert(messageBytesMax <= hubReadBytesMax, 'a read step holds any message');
assert(hubCloudMessageBytesMax <= messageBytesMax, 'the broker carries a cloud-to-device message');
assert(hubCloudLifeMs <= hubCloudLifeMsMax, 'the usual life is an allowed one');
assert(messageBytesMax <= hubCommitBytesMax, 'a commit holds any message');
assert(hubCommitBytesMax <= hubPendingBytesMax, 'a full commit may wait for its turn');
assert(telemetryFrameMessagesMax <= hubCommitMessagesMax, 'a commit holds any frame');
assert(upstreamWindowMessages <= hubCommitMessagesMax, 'a gateway that drains has a commit of the hub to itself');

// ── modules ──

/** Messages a built-in module keeps while the broker is away: minutes of a busy module; oldest are dropped and counted. */
export const moduleOutboxMessagesMax = 10_000;
/** The same in bytes of body and topic: what a module's process may grow by in a long outage. */
export const moduleOutboxBytesMax = 8_388_608;
/** QoS 1 publishes under way to the broker: enough to keep a group commit full, few enough to repeat quickly. */
export const moduleInflightMax = 64;
/** Life of a module's SAS token. IoT Hub's SDKs use one hour too. */
export const moduleTokenLifeMs = 3_600_000;
/** Age at which the token is renewed by reconnecting: well before its end, whatever the clocks do. */
export const moduleTokenRenewMs = 2_700_000;
/** Answer to a twin request; IoT Hub's SDKs wait as long. */
export const moduleTwinTimeoutMs = 30_000;
/** Reported patches of one module that cannot be merged into one and wait for the hub; beyond it the oldest is given up. */
export const moduleReportsPendingMax = 16;
/** What a module may take to empty its outbox after SIGTERM; below the supervisor's grace before SIGKILL. */
export const moduleDrainMs = 5000;
/** Longest pause between two attempts to reach the broker: it is on the same machine, and an attempt costs nothing. */
export const moduleReconnectMsMax = 3000;
/** A session with the broker that ended sooner counts as a failure: the next attempt waits longer. */
export const moduleSessionMsMin = 10_000;
/** Longest pause before a twin request that failed is repeated: the hub may be asking for patience. */
export const moduleTwinRetryMsMax = 60_000;

/** Registers in one Modbus read (application protocol 1.1b3, 6.3). */
export const modbusReadRegistersMax = 125;
/** Coils or discrete inputs in one Modbus read (6.1). */
export const modbusReadBitsMax = 2000;
/** Registers in one Modbus write (6.12). */
export const modbusWriteRegistersMax = 123;
/** Bytes of one RTU frame: 253 of PDU, unit and CRC. */
export const modbusFrameBytesMax = 256;
/** Buses of one modbus module: each is a connection or a serial port. */
export const modbusBusesMax = 32;
/** Devices of one modbus module. */
export const modbusDevicesMax = 1000;
/** Tags of one device; one group's values have to fit one message. */
export const modbusDeviceTagsMax = 500;
/** Longest string tag, so that every value of a full group fits one message together. */
export const modbusStringRegistersMax = 100;
/** Shortest poll period: below it even an idle TCP slave only produces noise. */
export const modbusPollMsMin = 10;
/** Longest poll period, deadline or silence: a day. */
export const modbusPollMsMax = 86_400_000;
/** Longest time to wait for one answer of a slave. */
export const modbusTimeoutMsMax = 60_000;
/** Operator writes waiting for one bus; more are refused. */
export const modbusWritesWaitingMax = 64;

assert(moduleTokenRenewMs < moduleTokenLifeMs, 'a token is renewed before it ends');
assert(
  modbusDeviceTagsMax * (2 * modbusStringRegistersMax + 200) <= messageBytesMax,
  'the values of one device fit one message',
);

// ── agent ──

/** Modules of one deployment: IoT Hub keeps 50 module identities a device, two of them the system's own. */
export const deploymentModulesMax = 48;
/** Least time between two reports caused by module events, milliseconds: a crash loop must not flood the twin. */
export const agentReportIntervalMs = 1000;
/** Time until a deployment that could not be carried out is tried again, milliseconds. */
export const agentRetryMs = 10_000;
/** Longest time between two tries to fetch what a deployment needs, milliseconds: a site without a link asks seldom. */
export const agentPrepareRetryMsMax = 300_000;
/** Time modules have to get ready before their verification fails, beside their own start period, milliseconds. */
export const agentReadyMs = 300_000;
/** Ends with an error of one new module that fail its deployment before the time is over. */
export const agentCrashesMax = 5;
/** Boots of the machine while one deployment is verified: a deployment that takes the machine down must not do it for ever. */
export const agentBootsMax = 3;
/** What a file takes when it is fetched and installed, against its size. */
export const artifactRoomFactor = 1.2;
/** The largest file or archive of a process module, bytes. */
export const moduleSourceBytesMax = 4_294_967_296;
/** Characters of an image reference: 255 for the name and as much for tag and digest. */
export const imageReferenceMax = 512;
/** Least memory that any program starts with, bytes. */
export const moduleMemoryBytesMin = 1_048_576;
/** Cores one module may be given, and the smallest part of one that the kernel can hand out. */
export const moduleCpusMax = 1024;
export const moduleCpusMin = 0.01;
/** Processes and threads of one module: the kernel's own ceiling. */
export const modulePidsMax = 4_194_304;
/** Health checks: not more often than that, and none waits longer, milliseconds. */
export const moduleHealthMsMin = 100;
export const moduleHealthMsMax = 86_400_000;
export const moduleHealthRetriesMax = 1000;
/** The longest verification of a deployment that can be asked for, milliseconds: a day. */
export const configVerifyMsMax = 86_400_000;
/** Registries whose credentials one deployment names. */
export const registryCredentialsMax = 32;

// ── supervisor: modules as processes ──

/** Modules that are gone and whose logs are kept, until a later deployment is in force: the one written to longest ago goes. */
export const formerModuleLogsMax = 16;

/** Modules one gateway supervises; each has a shim, a socket and up to `moduleLogFilesMax` files. */
export const supervisedModulesMax = 128;
/** Bytes of a module's name once escaped for a file name: leaves room under the file system's 255. */
export const moduleFileNameBytesMax = 200;
/** Smallest log file: more than one longest line; the shim refuses less. */
export const moduleLogBytesMin = 16_384;
/** Largest log file of one module. */
export const moduleLogBytesMax = 268_435_456;
/** Log files of one module, the current one included; the shim refuses more. */
export const moduleLogFilesMax = 99;
/** Longest time a module gets between SIGTERM and SIGKILL; the shim refuses more. */
export const moduleGraceMsMax = 3_600_000;
/** Processes and threads of a module that has no limit of its own: a fork bomb must not take the machine. */
export const modulePidsDefault = 512;
/** Output of a health command that is kept, bytes: its first lines say what is wrong. */
export const healthOutputBytesMax = 2048;
/** Text of a module's health that is shown, characters. */
export const healthTextMax = 200;
/** How long a group of the start order waits for the one before it, milliseconds: one module that never gets ready must not hold up a site. */
export const startGroupWaitMsMax = 30_000;
/** Entries of a module's private directory that are looked at to know its size; with more it counts as over its limit. */
export const moduleDataEntriesMax = 200_000;
/** Numbers that modules' own users are taken from, and private directories that are kept after their module was removed. */
export const moduleAccountsMax = 512;
/** One line on a shim's control socket: its records are at most 2048 bytes. */
export const shimLineBytesMax = 4096;
/** Failures remembered for the pacing of restarts. */
export const restartHistoryMax = 16;

// ── broker ── and MQTT ──

/** Longest MQTT string or binary field, by its two-byte length. */
export const mqttStringBytesMax = 65_535;
/** Largest packet id; 0 is none. */
export const packetIdMax = 65_535;
/** Levels of one topic: bounds the walk through the subscription tree, which visits up to three branches a level. */
export const topicLevelsMax = 64;
/** One MQTT packet: fixed header, topic, packet id and the largest message. */
export const packetBytesMax = 5 + 2 + mqttStringBytesMax + 2 + messageBytesMax;
/** Messages that wait inside an MQTT client for a place in its window; more are rejected. */
export const mqttClientWaitingMax = 10_000;
/** How long an MQTT client waits for CONNACK. */
export const mqttClientConnectMsMax = 30_000;
/** How long an MQTT client waits for PINGRESP before it gives the connection up, at most. */
export const mqttClientAckWaitMsMax = 20_000;

/** A CONNECT before anybody is authenticated: the largest will payload and 32 KiB for the texts. */
export const connectBytesMax = mqttStringBytesMax + 32_768;
/** Client id, in UTF-8 bytes; IoT Hub's `device/module` takes at most 257. */
export const clientIdBytesMax = 1024;
/** Open connections of one broker; more are closed at once. */
export const brokerConnectionsMax = 32_768;
/**
 * Bytes of all wills, of clients that are there and of those that wait for their delay. A client whose will does not
 * fit is not admitted (5.0: 0x97; 3.x: return code 3): each may have as much as a CONNECT holds.
 */
export const brokerWillBytesMax = 67_108_864;
/** Persistent sessions whose client is away; the one away longest is dropped. */
export const brokerSessionsAwayMax = 4096;
/** From accept to CONNECT and its answer. */
export const brokerConnectMsMax = 10_000;
/** From our last byte to the peer's close, before the socket is destroyed. */
export const brokerLingerMsMax = 2000;
/** Publishes of one connection that the topic service has not settled yet; then its socket is not read. */
export const brokerInflightInboundMax = 128;
/** The same at the hub: behind a gateway's connection is a site, and each commit of the hub serves what came before it. */
export const hubInflightInboundMax = 1024;
/** Bytes of these publishes; one more is always taken. */
export const brokerInflightInboundBytesMax = 8_388_608;
/** Messages sent to one client and not acknowledged; further ones queue. 3.1.1 clients cannot name their own number. */
export const brokerInflightOutboundMax = 128;
/** QoS 1 and 2 messages queued for one session; the newest is dropped when full. */
export const brokerQueueMessagesMax = 10_000;
/** Bytes of these messages, per session, and of those it was sent and keeps until they are acknowledged. */
export const brokerQueueBytesMax = 4_194_304;
/** Bytes of these messages, all sessions together. */
export const brokerQueueBytesTotalMax = 67_108_864;
/** One block of queued messages: few enough allocations, and little that a short queue wastes at its end. */
export const brokerQueueBlockBytesMax = 65_536;
/** The first block of a queue. */
export const brokerQueueBlockBytesMin = 1024;
/** Bytes of what one client has not acknowledged that are packed in one block, which is twice as large; more are objects. */
export const brokerUnderWayBytesMax = 131_072;
/** Blocks kept for reuse, in bytes together; an idle broker keeps none. */
export const brokerQueuePoolBytesMax = 4_194_304;
/** For how long a receiver whose queue is more than half full may hold back its publishers, before messages are dropped … */
export const brokerPressMsMax = 5000;
/** … and how long while it acknowledges nothing: longer than a loaded machine keeps a client from running. */
export const brokerPressStepMs = 500;
/** Bytes for one client that its socket has not taken; beyond it QoS 0 is dropped, QoS 1 and 2 queue, and its own packets wait. */
export const brokerOutputBytesMax = 1_048_576;
/** Bytes that no socket has taken, all clients together; beyond it only clients that owe nothing get more. */
export const brokerOutputBytesTotalMax = 67_108_864;
/** Batch buffers kept for reuse, in bytes together: what the turns of a busy second take; an idle broker keeps none. */
export const brokerPoolBytesMax = 16_777_216;
/** Input kept while a connection may not be read on: one read of a socket, with room for what TLS had decrypted. */
export const brokerHeldBytesMax = 262_144;
/** Subscriptions of one session; more are refused in the SUBACK. */
export const brokerSubscriptionsPerSessionMax = 1024;
/** Subscriptions of all sessions; more are refused in the SUBACK. */
export const brokerSubscriptionsMax = 262_144;
/** Levels of the tree that their filters make, some 200 bytes each; a subscription that may not fit is refused in the SUBACK. */
export const brokerSubscriptionLevelsMax = 1_048_576;
/** Characters of the filters of one session; more are refused in the SUBACK. Enough for 1024 filters of any usual length. */
export const brokerFilterCharactersPerSessionMax = 1_048_576;
/** Characters of all filters together; more are refused in the SUBACK. */
export const brokerFilterCharactersMax = 67_108_864;
/** Retained messages; a new topic is not retained when full, an old one may change. */
export const brokerRetainedMessagesMax = 131_072;
/**
 * Levels of the tree that their topics make, some 200 bytes each: messages in topics of many levels that nobody
 * shares reach it before their number.
 */
export const brokerRetainedLevelsMax = 524_288;
/** Bytes of retained messages. */
export const brokerRetainedBytesMax = 33_554_432;
/** Retained messages that one client sent last: half of all. Policy as above, for this client only. */
export const brokerRetainedMessagesPerClientMax = 65_536;
/** Bytes of retained messages that one client sent last: half of all. */
export const brokerRetainedBytesPerClientMax = 16_777_216;
/** Bytes of one turn for a group of receivers, before they are handed to the sockets: keeps them in the processor's cache. */
export const brokerFanOutBytesMax = 262_144;
/** Receivers in all resolved lists together; beyond it all are forgotten, and resolved again. */
export const brokerTargetsMax = 262_144;
/** Topics one MQTT 5 connection gets as a number; the oldest makes room. */
export const brokerOutboundAliasesMax = 16;
/**
 * For how long a socket may take nothing while its client is owed more than its bound. Then the connection ends
 * (MQTT 5: 0x97): what it is owed is dropped or queued already, and its memory serves others. Long enough for a
 * radio that is away for a minute.
 */
export const brokerStalledMsMax = 120_000;
/** Topics with a resolved list of receivers; all are forgotten when full, and resolved again. */
export const brokerTopicCacheMax = 8192;
/** A longer topic is resolved anew for each message: remembered ones must not add up to half a gibibyte. */
export const brokerTopicCacheCharactersMax = 1024;
/** Topic aliases a client may use towards us: as many as mosquitto's clients ask for, and some. */
export const brokerTopicAliasesMax = 64;
/** Bytes of the topics behind one client's aliases; a client that needs more is disconnected (quota exceeded). */
export const brokerTopicAliasBytesMax = 131_072;
/** Acknowledgements of one client that wait for a commit; then its socket is not read. */
export const brokerAcksWaitingMax = 1024;
/**
 * For how long a publisher waits whose message needs the session store while that has no room. Then a 3.x client is
 * disconnected, to publish again when it is back; a 5.0 client is refused (0x97), and waits only for commits that are
 * behind. Longer than a card that stalls, shorter than the usual keep-alive: a client that waits gets no PINGRESP.
 */
export const brokerStoreWaitMsMax = 10_000;
/** Challenges and responses of one enhanced authentication; more end it. */
export const brokerAuthenticationRoundsMax = 16;
/** Publishes of one client in a second, if not configured: 0 is no limit. Beyond it the client is not read until its time has come. */
export const brokerMessagesPerSecondMax = 0;
/** Publishes of all clients together in a second, if not configured: 0 is no limit. Beyond it whoever publishes next is not read until its time has come. */
export const brokerMessagesPerSecondTotalMax = 0;
/** Connections of one listener in a second, if not configured: 0 is no limit. More are closed at once. */
export const brokerConnectionsPerSecondMax = 0;

/** Log lines that one client causes in a while: connections and their ends, and as many refused publishes. Policy: the others are counted, and the next line tells the number. */
export const brokerClientLinesMax = 20;
export const brokerClientLogMs = 60_000;
/** Clients whose lines are counted. Policy: the one that was given its lines first is forgotten. */
export const brokerClientsLoggedMax = 1024;
assert(packetBytesMax <= brokerQueueBytesMax, 'whatever fits a packet fits a queue');
assert(packetBytesMax <= brokerOutputBytesMax, 'whatever fits a packet fits the output of a client');
assert(packetBytesMax <= brokerRetainedBytesMax, 'whatever fits a packet can be retained');
assert(connectBytesMax <= packetBytesMax, 'a CONNECT is a packet');
assert(connectBytesMax <= brokerWillBytesMax, 'any will fits');
assert(brokerInflightOutboundMax < packetIdMax, 'the outbound window fits the packet ids');
assert(
  brokerQueueBytesMax <= brokerQueueBytesTotalMax && brokerOutputBytesMax <= brokerOutputBytesTotalMax,
  'one fits all',
);
assert(packetBytesMax <= 268_435_460, 'the remaining length of a packet fits its four bytes');

// ── store ──

/** One stored record: a message of the largest size with its names, ids and lengths. */
export const storeRecordBytesMax = messageBytesMax + 65_536;
/** Messages waiting for a commit before another is refused: a stalled disk must not fill the memory of a Pi Zero. */
export const storePendingBytesMax = 16_777_216;
/** Lanes that one message goes to: an input of every module, and upstream. */
export const storeTargetsMax = 1023;
/** Bytes of one buffer for the messages of a commit that is kept to be used again; three are, at most. */
export const storeCommitBytesKept = 1_048_576;
/** Highest offset of one lane: 27 years at ten thousand messages a second. */
export const storeOffsetMax = 2 ** 43 - 1;
/** Senders' streams remembered for recognising repetitions; the one unused for longest is forgotten first. */
export const storeStreamsMax = 4096;
/** One state document: a deployment with a thousand modules is far below. */
export const storeStateBytesMax = 1_048_576;
/** State documents, and twins: one per module and per part of the runtime. */
export const storeDocumentsMax = 4096;
/** Rows looked at by one read or one sweep: bounds the time in which the store thread answers nobody else. */
export const storeScanRowsMax = 4096;
/** Damaged files kept for the curious; the oldest goes first. */
export const storeQuarantineFilesMax = 3;
/** A file up to this size is checked page by page at the start: about a second on a slow SD card. */
export const storeCheckBytesMax = 33_554_432;
/** Bytes of MQTT messages that wait for a commit, or are in one: beyond it the broker rejects new ones for sessions. */
export const brokerJournalBytesMax = 16_777_216;
/** One page of rows while MQTT state is loaded: what is in memory besides the state itself. */
export const storeLoadPageBytes = 262_144;
/** Space left free beside the store when the configuration does not say: a tenth of the file system within these bounds. */
export const storeReserveBytesMin = 67_108_864;
export const storeReserveBytesMax = 1_073_741_824;
/** Messages that are kept even while space is low: newest ones still get through a disk that others have filled. */
export const storeLowBytesMin = 1_048_576;
/** The smallest quota that makes sense: several of the largest messages. */
export const storeQuotaBytesMin = 1_048_576;

/** The copy of the state documents beside the database: several deployments of the largest size. */
export const storeStateFileBytesMax = 8_388_608;

assert(storeStateBytesMax * 4 <= storeStateFileBytesMax, 'the documents of all parts of the runtime fit their file');
assert(storeRecordBytesMax * 2 <= storeLowBytesMin, 'low on space, a message of any size still fits');
assert(storeRecordBytesMax * 2 <= storeQuotaBytesMin, 'the quota holds more than one message of any size');
assert(storeRecordBytesMax <= storePendingBytesMax, 'any message may wait for its commit');

// ── store: outbox (the segment log) ──

/** At which a new segment begins: small enough to be let go soon, large enough that its snapshot costs under one per cent. */
export const outboxSegmentBytesMax = 8_388_608;
/** A segment's file grows by this at a time: one entry in the file system's books instead of one a commit. */
export const outboxStepBytes = 262_144;
/** A frame of this size is appended as it is: zeros for it and what follows would cost more than the books (ext4: 64 messages of 300 bytes). */
export const outboxAppendBytesMin = 24_576;
/** Released files kept for writing over, 128 MB: the next outage of that size costs no new blocks. Policy: they go when the disk is full, but for the reserve. */
export const outboxSparesMax = 16;
/** Spare files kept for the time without room, and the bytes of each: frames that only say what has left go there. Policy: larger when a snapshot is; two suffice, because one is dead when the other is full. */
export const outboxReserveFiles = 2;
export const outboxReserveBytes = 65_536;
/** What a message costs at most beside itself when its segment is rewritten into a spare file: a frame of its own. */
export const outboxRewriteOverheadBytes = 256;
/** Segment files open for reading at a time. */
export const outboxOpenFilesMax = 8;
/** Lanes of one outbox: queues times priorities in use. Policy: a message that would open one more is refused. */
export const outboxLanesMax = 4096;
/** Ranges of offsets that left a lane out of turn. Policy: what expired goes out late, what is damaged is tried again until something before it has left. */
export const outboxRangesMax = 4096;
/** Boots of the machine that waiting messages come from. Policy: the oldest is forgotten, its messages count as younger. */
export const outboxBootsMax = 1024;
/** Bytes of the log passed by one read or one sweep: some milliseconds on a board, a tenth of a second cold on an SD card. */
export const outboxScanBytesMax = 8_388_608;
/** Offsets left out after damage: more than one frame can have given out. */
export const outboxOffsetJump = 2 ** 24;
/** A disk that refuses to read a segment this often, over at least this time, is believed; the rest is salvaged. */
export const outboxReadFaultsMax = 3;
export const outboxReadFaultsMs = 10_000;
/** Below this share of messages that wait a segment is worth rewriting, once a whole segment's space is won by it. */
export const outboxSparseShare = 0.5;
/** Below this share of a full segment it is small, and joined with its neighbours. */
export const outboxSmallShare = 0.125;
/** That many small neighbours are joined even when no space is won. */
export const outboxSparseRunMax = 16;
/** Memory kept between commits for the records of a frame; a larger commit gives its memory back. */
export const outboxFrameBytesKept = 1_048_576;
/** The same for a snapshot. */
export const outboxSnapshotBytesKept = 65_536;

assert(outboxStepBytes <= outboxSegmentBytesMax, 'a segment grows in steps');
assert(outboxAppendBytesMin < outboxStepBytes, 'a step holds several small frames');
assert(outboxOffsetJump >= storePendingBytesMax / 8, 'no frame holds more messages than are skipped after damage');

// ── time: how far a clock may be from what is known before it has to prove itself ──

/** Further ahead of the last good time no gateway has been switched off: beyond it a clock is not believed at once. */
export const wallJumpMsMax = 400 * 86_400_000;
/** Clocks are set back by seconds when they meet a time server; further back is before what certainly has passed. */
export const wallBackMsMax = 60_000;
/** A change of this size within one look is a step; time servers slew by less. */
export const wallStepMs = 2_000;
/** A synchronised clock that is out of reach is believed after this long without a step. */
export const wallSettleMs = 600_000;
/** A clock for which nobody vouches is believed after this long without a step. */
export const wallSettleAloneMs = 86_400_000;

assert(wallStepMs < wallBackMsMax && wallSettleMs < wallSettleAloneMs, 'vouched for is sooner believed');

// ── admin socket ──

/** Lines that one request for a module's log may ask for with `tail`. */
export const adminLogTailLinesMax = 1_000_000;
/** One read of a log file. The shim cuts lines at 8 KiB, so each read holds whole lines. */
export const adminLogSliceBytes = 65_536;

// ── iothub ──

/** Devices named in the log for each connection of a gateway that sends for them without being their parent. */
export const strangersLoggedMax = 16;
/** Twin requests of one client under way; beyond it the answer is 429. Microsoft's clients send one or two at a time. */
export const twinRequestsPerClientMax = 32;
/** Direct methods of one client that wait for their answer; further calls are refused. */
export const methodCallsPerClientMax = 64;
/** Calls that wait until their callee is there; further ones are refused. */
export const methodWaitsMax = 1024;
/** What a call through a gateway may take on top of its own time-outs, milliseconds: the way there and back. */
export const methodRelayMs = 5_000;
/** Cloud-to-device messages that one gateway has for its leaf devices and has not settled: one a device, and then some. */
export const handedMessagesMax = 1024;
/** Characters of a direct method's name: IoT Hub's limit. */
export const methodNameMax = 100;
/** Bytes of a message's properties in a topic, once weir writes them: what is left of a topic after the ids and the sender's. */
export const propertyBagBytesMax = 63_488;

assert(propertyBagBytesMax + 2048 <= mqttStringBytesMax + 1, 'a bag fits a topic with four ids and an input name');

// ── router ──

/** One route: far above any that a person writes, low enough that parsing is nothing. */
export const routeTextCharactersMax = 4096;
/** Routes in force at a time. */
export const routesMax = 1024;
/** Levels of parentheses, functions, NOT and minus in one condition: what walks its tree recurses so deep. */
export const routeConditionDepthMax = 64;
/** Operands and operators of one condition: bounds what one route costs each message. */
export const routeConditionNodesMax = 256;
/** Bytes of a body that conditions look into: every message that IoT Hub's protocol lets in. */
export const routeBodyBytesMax = messageBytesMax;
/** Characters that concat() and || may make; more are undefined. Twice the largest message. */
export const routeTextResultCharactersMax = 524_288;
/** Values that the conditions in force share, remembered while a message is looked at; beyond it they are worked out anew. */
export const routeSharedValuesMax = 4096;
/** Message sources whose targets are remembered; when more appear the memory starts anew. */
export const routedSourcesMax = 1024;
/** Messages of one batch: what a drain hands to an endpoint at a time. */
export const drainBatchMessagesMax = 100;
/** Messages that a drain reads at a time, and reads ahead, for an endpoint whose window has room for more than a batch. */
export const drainReadMessagesMax = 512;
/** Bytes of one such batch; a single larger message still goes. */
export const drainBatchBytesMax = 262_144;
/** The same for an endpoint that takes one batch at a time: few, so that a higher priority soon has its turn. */
export const drainSerialBatchMessagesMax = 16;
/** Longest pause of a drain whose endpoint refuses: as IoT Edge's. */
export const drainBackoffMsMax = 60_000;
/** Fairness guard: a lane that could have been sent for this long … */
export const drainStarvationMsMax = 10_000;
/** … while so many batches of other lanes passed it gets one batch before all of them. On a slow link that is later. */
export const drainStarvationBatches = 8;
/** As many failures of one lane in a row, without a message accepted, let the other lanes of its queue go first. */
export const drainLaneFailuresMax = 3;
/** What was read ahead and not sent within this time is read again: it may have expired, or been dropped. */
export const drainReadAgeMsMax = 1000;
/** Bytes under way on the slowest link: what a command waits for at 10 kB/s is under two seconds. */
export const drainWindowBytesMin = 16_384;
/** Bytes under way at first, before the link has shown how fast it is. */
export const drainWindowBytesStart = 65_536;
/** What a drain may add to the time that the link needs anyway: above it less is kept under way. */
export const drainQueueingMsMax = 250;
/** A longer time for an acknowledgement is never taken for the link's own: a geostationary satellite needs 700. */
export const drainRoundTripMsMax = 1500;
/** `live_first`: behind a backlog of more messages, fresh ones take the lane beside it. */
export const liveFirstBacklogMessages = 256;

assert(drainWindowBytesMin <= drainWindowBytesStart, 'a window begins within its bounds');
assert(drainSerialBatchMessagesMax <= drainBatchMessagesMax, 'a short batch is a batch');
assert(drainBatchMessagesMax <= drainReadMessagesMax, 'a read is a batch at least');

// ── workload ──

/** One request body on a module's workload socket: the largest plaintext to encrypt, as base64. */
export const workloadBodyBytesMax = 1_048_576;
/** Connections to one workload or management socket: clients keep some idle, and no module may use up the descriptors. */
export const workloadConnectionsMax = 128;
/** Requests of one module under way on its workload socket, as at Azure's daemon; further ones are refused. */
export const workloadRequestsPerModuleMax = 10;
/** How long a caller may be unknown because its module is just being started, milliseconds; then it is refused. */
export const callerKnownMsMax = 10_000;
/** Between two looks for such a module, milliseconds. */
export const callerLookAgainMs = 50;
/** Requests under way on one management socket, as at Azure's daemon; further ones are refused. */
export const managementRequestsMax = 50;
/** Lines of a module's log that one management request may ask for from the end; `all` asks for no number. */
export const managementTailLinesMax = 1_000_000;
/** Bytes of a unix socket's path: `sun_path` has 108 with its NUL. */
export const unixPathBytesMax = 107;

assert(workloadBodyBytesMax <= httpBodyBytesMax, 'a workload request is a request on a local socket');

// ── access: who may connect, and what they may do ──

/** A password or ACL file. A hundred thousand users with their hashes fit. */
export const accessFileBytesMax = 33_554_432;
/** Users of one password file. */
export const accessUsersMax = 100_000;
/** Rules of one ACL file. */
export const accessRulesMax = 100_000;
/** Iterations of one password hash: more would keep a thread of the pool for seconds. */
export const passwordIterationsMax = 10_000_000;
/** Passwords hashed at a time; Node's pool has four threads, and the disk needs some of them. */
export const accessChecksMax = 2;
/** Passwords that wait to be hashed; beyond it a client is told to come later. */
export const accessChecksWaitingMax = 1024;
/** Credentials remembered as right, a keyed hash each; the one unused for longest is forgotten first. */
export const accessVerifiedMax = 32_768;
/** Addresses remembered for their failed attempts; the one that failed longest ago is forgotten first. */
export const accessAddressesMax = 4096;
/** How long the answer to a first failed attempt waits, milliseconds; each further one twice as long. */
export const accessFailureDelayMs = 250;
/** The longest such wait: below the time that a CONNECT may take. */
export const accessFailureDelayMsMax = 4000;
/** An address that did not fail for this long starts anew. */
export const accessFailureForgetMs = 60_000;
/** Refusals of one address that wait at a time; further attempts of it are not even checked. */
export const accessRefusalsPendingMax = 16;
/** Time between two log lines about what was denied. */
export const accessDeniedLogMs = 10_000;

/** Statements of one authorisation policy. */
export const accessPolicyStatementsMax = 1024;
/** Rules, operations, identities and resources of one policy, together. */
export const accessPolicyEntriesMax = 16_384;
/** One identity or resource of a policy. */
export const accessPolicyResourceCharactersMax = 1024;
/** A policy in a file of its own. */
export const accessPolicyFileBytesMax = 1_048_576;

assert(accessFailureDelayMsMax < brokerConnectMsMax, 'a refusal is told before the connection times out');

// ── transports: what a connection may take before it is a stream of MQTT ──

/** Connections of one listener in a TLS handshake, a WebSocket upgrade or before their PROXY header; more are closed. */
export const pendingEntriesMax = 4096;
/** From accept to the end of the TLS handshake, milliseconds: several seconds of a Pi Zero under a storm. */
export const tlsHandshakeMsMax = 10_000;
/** From accept to the whole PROXY header, milliseconds: the proxy sends it at once. */
export const proxyHeaderMsMax = 3_000;
/** A PROXY header with all its TLVs, bytes: HAProxy's own have some hundred. */
export const proxyHeaderBytesMax = 4_096;
/** From the stream's begin to the whole upgrade request, milliseconds. */
export const webSocketUpgradeMsMax = 10_000;
/** The upgrade request with all its header fields, bytes: as much as Node's own server takes of a field. */
export const webSocketHeaderBytesMax = 8_192;
/** Payload of one WebSocket frame, bytes. Frames are not gathered: it bounds nothing but nonsense. */
export const webSocketFrameBytesMax = 16_777_216;
/** From our Close frame to the peer's end, milliseconds. */
export const webSocketCloseMsMax = 2_000;

/** Connections of the gateway's HTTP interface: a few for each module. */
export const gatewayApiConnectionsMax = 256;
/** Time for one request of it to arrive whole, milliseconds. */
export const gatewayApiRequestMsMax = 30_000;
/** Body of one request of it: the largest payload of a method and what stands around it. */
export const gatewayApiBodyBytesMax = 262_144;

assert(packetBytesMax <= webSocketFrameBytesMax, 'an MQTT packet fits one frame');

// ── queue files: a queue carried to the hub by hand ──

/** Bytes of messages at which a queue file is full. Small enough to pass a local socket whole, also as base64. */
export const queueFileBytesTarget = 2_097_152;
/** Messages of one queue file: the hub takes it in one transaction, which holds up its event loop. */
export const queueFileMessagesMax = 8_192;
/** A whole queue file: its messages, and a header. */
export const queueFileBytesMax = 2_129_920;
/** Receipts of one request; a directory with more takes several. */
export const queueReceiptsMax = 256;
/** Bytes of one receipt; a longer file is none. */
export const queueReceiptBytesMax = 8_192;
/** Messages that one look into a queue shows. */
export const queuePeekMessagesMax = 1_000;
/** Bytes of all bodies that one look shows; of further messages only the size is told. */
export const queuePeekBytesMax = 1_048_576;

assert(storeRecordBytesMax * 6 <= queueFileBytesTarget, 'a queue file holds any message, its texts escaped');
assert(queueFileBytesTarget + 32_768 <= queueFileBytesMax, 'a queue file has room for its header');
assert(queueFileBytesMax * (4 / 3) < httpBodyBytesMax, 'a queue file passes a local socket as base64');
assert(queueReceiptsMax * queueReceiptBytesMax * 1.5 < httpBodyBytesMax, 'receipts of one request pass a local socket');
assert(queuePeekBytesMax * (4 / 3) < httpBodyBytesMax, 'what a look shows passes a local socket');

// ── flash: what the account of wear leads to ──

/** To which commits are lengthened for a device that would wear out too early, milliseconds: senders wait so long. */
export const flashCommitDelayMsMax = 2_000;

// ── twins on the gateway ──

/** Twins kept: those of a full scope, of the modules and of the runtime itself. Beyond it an identity gets no twin here. */
export const twinsMax = 2304;
/** JSON text of all twins kept: they are in memory whole. Beyond it reported properties may shrink, not grow. */
export const twinsJsonBytesMax = 16_777_216;
/** Twins being read or sent over the link at a time: the rest of its requests are others'. */
export const twinSyncsMax = 32;
/** Least time between two reported patches of one twin to the hub, milliseconds; what comes meanwhile goes as one. */
export const twinSendSpacingMs = 1000;
/** For how long the first question for a twin waits until the hub was read, milliseconds; then the empty one is served. */
export const twinFirstReadMsMax = 5000;
/** The hub's file of what its clients subscribed to, and of what waits for them; beyond it they are told to come later. */
export const hubSessionsBytesMax = 268_435_456;
/** Bytes of the clients block in `$edgeHub`'s report: beyond it those longest gone are left out, so that the rest fits its twin. */
export const clientsReportBytesMax = 24_576;

assert(scopeIdentitiesMax + deploymentModulesMax + 2 <= twinsMax, 'whoever may be on a gateway has a twin there');
assert(twinsMax <= storeDocumentsMax, 'the store has a place for every twin');
assert(twinSyncsMax <= upstreamRequestsPendingMax / 2, 'twins leave room for other requests to the hub');
assert(
  clientsReportBytesMax + 4096 <= twinSectionBytesMax,
  "the clients and the rest of the report fit the twin of '$edgeHub'",
);

// ── bridges to other MQTT brokers ──

/** Other brokers of one gateway. */
export const bridgesMax = 16;
/** Bridges and topics of one document, and topics of one bridge in config.toml. */
export const bridgeRulesMax = 256;
/** Messages under way to one other broker: fills a few thousand a second over 100 ms. */
export const bridgeWindowMessages = 256;
/** Bytes of them: what the loss of a connection repeats at most. */
export const bridgeWindowBytes = 1_048_576;
/** Publishes on one connection: bridged messages and telemetry, a window each. */
export const bridgeInflightMax = 1024;
/** Topics whose way out is remembered; when more appear the memory starts anew. */
export const bridgeTopicsMax = 4096;

assert(bridgeWindowMessages * 2 <= bridgeInflightMax, 'both windows find their places on one connection');
assert(messageBytesMax <= bridgeWindowBytes, 'the window of a bridge holds any message');

// ── containers ──

/** One whole answer of the container engine: a list of all its containers is the largest. */
export const engineAnswerBytesMax = 8_388_608;
/** One line of an engine's pull progress; longer ones are not looked at. */
export const enginePullLineBytesMax = 65_536;
/** One line of a container's log; engines cut at 16 KiB, what is longer here is cut. */
export const containerLogLineBytesMax = 65_536;
/** Lines of a container's log that go to the file in one write. */
export const containerLogBatchBytesMax = 262_144;
/** Last lines of a container's log by which the place in it is found again when stamps do not ascend. */
export const containerLogRecentLines = 64;
/** Bytes at the end of a log in which the place is looked for where an earlier life of the runtime stopped. */
export const containerLogTailBytesMax = 1_048_576;
/** Least time between two looks for unused images, and least and most time they are kept, milliseconds. */
export const configImageRecurrenceMsMin = 3_600_000;
export const configImageAgeMsMin = 60_000;
export const configImageAgeMsMax = 31_536_000_000;
/** Less free space than this where the engine keeps its images, and unused ones go at once: unless store.reserve says otherwise. */
export const containerSpaceReserveBytes = 268_435_456;
/** Images that are remembered as pulled here; beyond it the longest unused are forgotten and stay. */
export const pulledImagesMax = 512;

assert(containerLogLineBytesMax <= containerLogBatchBytesMax, 'any line fits a write');

// ── artefacts: files of modules, fetched and unpacked ──

/** Bytes of one archive when it is unpacked. */
export const artifactUnpackedBytesMax = 8_589_934_592;
/** How many times its own size an archive may unfold: programs pack to a third; only bombs to a hundredth. */
export const artifactUnfoldMax = 100;
/** An archive may always unfold to this many bytes: a small one of zeros harms nobody. */
export const artifactUnpackedBytesFree = 16_777_216;
/** Files, directories and links of one archive: a module with a thousand npm packages has thirty thousand. */
export const artifactEntriesMax = 65_536;
/** UTF-8 bytes of one path in an archive: a quarter of what Linux takes, for what stands before it. */
export const artifactPathBytesMax = 1024;
/** Of all paths of one archive together: they are in memory while it is unpacked, and in its record afterwards. */
export const artifactPathsBytesMax = 8_388_608;
/** Directories in one another in an archive. */
export const artifactPathLevelsMax = 64;
/** What extends one header of a tar archive: long names. */
export const artifactHeaderBytesMax = 65_536;
/** Artefacts being fetched or installed at a time; the others wait. */
export const artifactsAtOnce = 2;
/** Servers may point elsewhere this often. */
export const artifactRedirectsMax = 5;
/** Tries in a row that brought no byte; then the deployment is told why. */
export const artifactTriesMax = 6;
/** Pauses between tries, milliseconds: the least, the first one's ceiling, and the last one's. */
export const artifactPauseMsMin = 500;
export const artifactPauseMsFirst = 2_000;
export const artifactPauseMsMax = 60_000;
/** For how long a server may make us wait by Retry-After, milliseconds. */
export const artifactRetryAfterMsMax = 600_000;
/** A connection that brings fewer bytes than the next constant in this time is given up, milliseconds. */
export const artifactStallMs = 60_000;
/** The slowest modem brings more within artifactStallMs. */
export const artifactStallBytes = 4096;
/** For how long what was found whole is not looked at again, milliseconds: a plan asks for the same one several times. */
export const artifactCheckMs = 10_000;

assert(moduleSourceBytesMax <= artifactUnpackedBytesMax, 'whatever may be fetched may be unpacked');
assert(artifactPathBytesMax <= artifactHeaderBytesMax, 'a header has room for the longest path');

// ── direct methods of `$edgeAgent` ──

/** Items of one request for logs. */
export const agentLogItemsMax = 100;
/** Characters of a regular expression in one. */
export const agentLogPatternLengthMax = 1000;
/** How long one may take for a piece of a log (adminLogSliceBytes), milliseconds: the broker waits meanwhile. */
export const agentLogPatternMsMax = 100;
/** Bytes of logs in one answer: what a direct method carries, less what stands around them. As at Azure's agent. */
export const agentLogAnswerBytesMax = 127_000;
/** Uploads at a time; further ones are refused. */
export const agentTasksRunningMax = 4;
/** Uploads remembered for GetTaskStatus; the oldest that ended are forgotten first. */
export const agentTasksKeptMax = 64;
/** How long one upload may take, milliseconds. */
export const agentTaskMsMax = 600_000;
/** Bytes of one request of an upload, which are in memory. */
export const agentUploadBlockBytes = 4_194_304;
/** Times that a request of an upload is repeated when nobody answers. */
export const agentUploadRetries = 2;
/** Time before the first repetition, milliseconds; each further one waits twice as long. */
export const agentUploadRetryMs = 5_000;
/** Characters of the runtime's own log that are remembered; older ones are in the journal alone. */
export const ownLogCharactersMax = 262_144;

assert(agentLogAnswerBytesMax < methodPayloadBytesMax, 'logs of an answer fit its payload');
