// Queue files and their receipts: what carries a queue to the hub by hand.

export { formatReceipt, parseReceipt, type Receipt, type ReceiptFacts } from './receipt.ts';
export {
  encodeSegmentHeader,
  encodeSegmentMessage,
  proofBytes,
  readSegmentHeader,
  readSegmentMessages,
  type SegmentFacts,
  type SegmentFault,
  type SegmentRefusal,
  saltBytes,
  segmentBody,
} from './segment.ts';
