// The door of IoT Hub's device protocol: topics, property bags, user names, tokens, connection strings.
//
// Pure codecs: no I/O and no cryptography. Each file's header shows its bytes.

export {
  type ConnectionString,
  connectionIdentity,
  formatConnectionString,
  parseConnectionString,
} from './connection-string.ts';
export {
  type DecodedPropertyBag,
  decodePropertyBag,
  encodePropertyBag,
  type PropertyBag,
} from './property-bag.ts';
export { formatSas, parseSas, type SasToken, sasCovers, sasResource, sasStringToSign } from './sas.ts';
export {
  cloudToDeviceFilter,
  cloudToDeviceTopic,
  type DeviceTopic,
  desiredPatchFilter,
  desiredPatchTopic,
  inputFilter,
  inputTopic,
  isIotHubTopic,
  methodRequestFilter,
  methodRequestTopic,
  methodResponseTopic,
  parseDeviceTopic,
  parseServerTopic,
  type ServerTopic,
  telemetryTopic,
  twinGetTopic,
  twinPatchTopic,
  twinResponseFilter,
  twinResponseTopic,
} from './topics.ts';
export { deviceApiVersion, formatUsername, type IotHubUsername, parseUsername } from './username.ts';
