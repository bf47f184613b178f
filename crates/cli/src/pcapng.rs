//! Packets in a file that tcpdump and Wireshark read: pcapng (draft-ietf-opsawg-pcapng). Pure.
//!
//! ```text
//!   section header │ interface │ packet, packet, ... │ statistics of the interface
//! ```

/// Types of blocks (sections 4.1 to 4.6).
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// Tells in which order the bytes of numbers are: we write the low one first.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Version of the format: 1.0.
const VERSION: [u16; 2] = [1, 0];
/// The section's length is not known when its header is written.
const LENGTH_UNKNOWN: u64 = u64::MAX;
/// LINKTYPE_ETHERNET of the registry of link types.
const ETHERNET: u16 = 1;
/// The one interface of the section.
const ONLY: u32 = 0;
/// Options. The first two are of every block, the others of one kind each.
const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_MISSED: u16 = 7;
const STATISTICS_DELIVERED: u16 = 8;
/// Longest comment, in bytes: an option has 16 bits for its length.
const COMMENT_BYTES_MAX: usize = 65_535;

/// Which way a packet went, as seen from the interface (`epb_flags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the container.
    Inbound = 1,
    /// Sent by it.
    Outbound = 2,
}

/// A packet.
#[derive(Debug, Clone)]
pub(crate) struct Record<'a> {
    /// Microseconds since 1970.
    pub(crate) time_us: u64,
    pub(crate) direction: Direction,
    /// Of the packet; `data` may have less.
    pub(crate) bytes: u32,
    pub(crate) data: &'a [u8],
    pub(crate) comment: &'a str,
}

/// What a file begins with: who writes it, and what the interface is called.
pub(crate) fn head(application: &str, interface: &str, snaplen: u32) -> Vec<u8> {
    let mut section = Block::of(SECTION_HEADER);
    section.u32(BYTE_ORDER);
    VERSION.iter().for_each(|number| section.u16(*number));
    section.u64(LENGTH_UNKNOWN);
    section.option(SECTION_APPLICATION, application.as_bytes());
    let mut described = Block::of(INTERFACE);
    described.u16(ETHERNET);
    described.u16(0);
    described.u32(snaplen);
    described.option(INTERFACE_NAME, interface.as_bytes());
    [section.end(), described.end()].concat()
}

/// One packet.
pub(crate) fn packet(record: &Record<'_>) -> Vec<u8> {
    let mut block = Block::of(ENHANCED_PACKET);
    block.u32(ONLY);
    block.time(record.time_us);
    block.u32(u32::try_from(record.data.len()).unwrap_or(u32::MAX));
    block.u32(record.bytes);
    block.padded(record.data);
    block.option(PACKET_FLAGS, &(record.direction as u32).to_le_bytes());
    let comment = record.comment.as_bytes();
    block.option(COMMENT, &comment[..comment.len().min(COMMENT_BYTES_MAX)]);
    block.end()
}

/// What a file ends with: how many packets are in it, and how many should be.
pub(crate) fn tail(time_us: u64, captured: u64, missed: u64) -> Vec<u8> {
    let mut block = Block::of(STATISTICS);
    block.u32(ONLY);
    block.time(time_us);
    block.option(STATISTICS_RECEIVED, &(captured + missed).to_le_bytes());
    block.option(STATISTICS_MISSED, &missed.to_le_bytes());
    block.option(STATISTICS_DELIVERED, &captured.to_le_bytes());
    block.end()
}

/// A block that is being written: its type, its length, what is in it, and its length again.
struct Block(Vec<u8>);

impl Block {
    fn of(kind: u32) -> Self {
        let mut block = Self(Vec::new());
        block.u32(kind);
        // Its place is taken until it is known.
        block.u32(0);
        block
    }

    fn u16(&mut self, number: u16) {
        self.0.extend(number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    /// In the resolution that an interface has unless it says otherwise. The high half comes first, in either order of
    /// bytes.
    fn time(&mut self, time_us: u64) {
        let [a, b, c, d, e, f, g, h] = time_us.to_le_bytes();
        self.0.extend([e, f, g, h, a, b, c, d]);
    }

    /// Bytes, and zeros up to what four divides.
    fn padded(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.u16(code);
        self.u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        self.padded(value);
    }

    fn end(mut self) -> Vec<u8> {
        self.option(END_OF_OPTIONS, &[]);
        let length = u32::try_from(self.0.len() + 4).unwrap_or(u32::MAX);
        self.u32(length);
        self.0[4..8].copy_from_slice(&length.to_le_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_parser::pcapng::parse_block_le;
    use pcap_parser::traits::PcapNGPacketBlock as _;
    use pcap_parser::{Block as Parsed, OptionCode};

    /// What a parser of others' finds.
    fn parsed(mut file: &[u8], mut visit: impl FnMut(Parsed<'_>)) {
        while !file.is_empty() {
            let (rest, block) = parse_block_le(file).unwrap();
            visit(block);
            file = rest;
        }
    }

    #[test]
    fn a_parser_of_others_reads_what_was_written() {
        let records = [
            (1_795_234_477_000_005, Direction::Outbound, 74, &[1, 2, 3, 4, 5][..], "passed: short"),
            (1_795_234_477_000_006, Direction::Inbound, 4, &[9; 4][..], "dropped: network: é."),
        ];
        let mut file = head("weft 1", "shop/web@eth0", 5);
        for (time_us, direction, bytes, data, comment) in records {
            file.extend(packet(&Record { time_us, direction, bytes, data, comment }));
        }
        file.extend(tail(1_795_234_477_000_007, 2, 3));
        let (mut packets, mut seen) = (Vec::new(), Vec::new());
        parsed(&file, |block| match block {
            Parsed::SectionHeader(section) => {
                assert_eq!((section.major_version, section.minor_version, section.section_len), (1, 0, -1));
                seen.push(section.options[0].as_bytes().unwrap().to_vec());
            }
            Parsed::InterfaceDescription(interface) => {
                assert_eq!((interface.linktype.0, interface.snaplen, interface.if_tsresol), (1, 5, 6));
                seen.push(interface.options[0].as_bytes().unwrap().to_vec());
            }
            Parsed::EnhancedPacket(block) => {
                let time = (u64::from(block.ts_high) << 32) | u64::from(block.ts_low);
                let found = |code| block.options.iter().find(|option| option.code == OptionCode(code)).unwrap();
                let option = |code| found(code).as_bytes().unwrap().to_vec();
                let data = block.packet_data()[..block.caplen as usize].to_vec();
                packets.push((time, option(2), block.origlen, data, option(1)));
            }
            Parsed::InterfaceStatistics(statistics) => {
                let numbers = statistics.options.iter().filter(|option| option.len == 8);
                seen.extend(numbers.map(|option| option.as_bytes().unwrap().to_vec()));
            }
            other => panic!("{other:?}"),
        });
        let number = |number: u64| number.to_le_bytes().to_vec();
        assert_eq!(seen, [b"weft 1".to_vec(), b"shop/web@eth0".to_vec(), number(5), number(3), number(2)]);
        let expected = records.map(|(time, direction, bytes, data, comment)| {
            (time, (direction as u32).to_le_bytes().to_vec(), bytes, data.to_vec(), comment.as_bytes().to_vec())
        });
        assert_eq!(packets, expected);
    }
}
