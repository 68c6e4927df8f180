// The door of IoT Hub's device protocol: topics, property bags, user names, tokens, connection strings.
//
// Pure codecs: no I/O and no cryptography. Each file's header shows its bytes.

export {
  type ConnectionString,
  connectionIdentity,
  formatConnectionString,
  parseConnectionString,
} from './connection-string.ts';
export { type MethodRequest, parseMethodRequest } from './method-request.ts';
export {
  type DecodedPropertyBag,
  decodePropertyBag,
  encodePropertyBag,
  lockProperty,
  type PropertyBag,
} from './property-bag.ts';
export { formatSas, parseSas, type SasToken, sasCovers, sasResource, sasStringToSign } from './sas.ts';
export { methodFailureOf, serviceErrorBody } from './service-error.ts';
export {
  type CallPatience,
  cloudToDeviceFilter,
  cloudToDeviceTopic,
  type DeviceTopic,
  desiredPatchFilter,
  desiredPatchTopic,
  deviceOfDeviceboundFilter,
  inputFilter,
  inputTopic,
  isIotHubTopic,
  methodRequestFilter,
  methodRequestTopic,
  methodResponseTopic,
  parseDeviceTopic,
  parseServerTopic,
  type ServerTopic,
  settlementTopic,
  telemetryTopic,
  twinGetTopic,
  twinPatchTopic,
  twinResponseFilter,
  twinResponseTopic,
} from './topics.ts';
export { deviceApiVersion, formatUsername, type IotHubUsername, parseUsername } from './username.ts';
