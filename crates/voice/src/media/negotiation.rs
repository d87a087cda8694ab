//! What two legs agree on (RFC 3264), so that sound passes between them as it is, or converted between the laws of
//! G.711 when there is nothing better.

use super::codec::Codec;
use super::sdp::{Format, Meaning, Media};

/// What is known before formats are offered or answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// What the other leg can carry, the most wanted first; `None` when there is no other yet.
    pub other: Option<&'a [Codec]>,
    /// The formats of this leg so far: their numbers stay (RFC 3264 8.3.2), and the first codec is kept where it can be.
    pub agreed: &'a [Format],
    /// Whether only sound will do that can be read: it is to be recorded.
    pub readable: bool,
}

/// What we offer: all that the other leg can carry, in its order, or everything.
pub fn to_offer(known: Known<'_>) -> Vec<Format> {
    let mut codecs: Vec<Codec> = match known.other {
        None => Codec::ALL.to_vec(),
        Some(other) => other.to_vec(),
    };
    codecs.retain(|codec| !known.readable || codec.law().is_some());
    if codecs.is_empty() || codecs.iter().any(|codec| codec.law().is_some()) {
        let laws = [Codec::Pcma, Codec::Pcmu];
        codecs.extend(laws.into_iter().filter(|law| !codecs.contains(law)).collect::<Vec<_>>());
    }
    let mut meanings: Vec<Meaning> = codecs.iter().copied().map(Meaning::Sound).collect();
    meanings.push(Meaning::Events(8000));
    if codecs.contains(&Codec::Opus) {
        meanings.push(Meaning::Events(48_000));
    }
    let mut formats: Vec<Format> = Vec::with_capacity(meanings.len());
    for meaning in meanings {
        let payload_type = number(meaning, known.agreed, &formats);
        formats.push(Format { payload_type, meaning });
    }
    formats
}

/// What we answer: one codec, so that a peer never sends what the other leg cannot hear, and keys as events.
/// `None` when nothing that is offered can be carried.
pub fn to_answer(offered: &Media, known: Known<'_>) -> Option<Vec<Format>> {
    let usable: Vec<(Codec, u8)> =
        offered.codecs().filter(|(codec, _)| !known.readable || codec.law().is_some()).collect();
    let of = |wanted: Codec| usable.iter().find(|(codec, _)| *codec == wanted).copied();
    let readable = || usable.iter().find(|(codec, _)| codec.law().is_some()).copied();
    let kept = || match known.agreed.first()?.meaning {
        Meaning::Sound(codec) => of(codec),
        Meaning::Events(_) => None,
    };
    let (codec, payload_type) = match known.other {
        Some(other) => {
            let converts = other.iter().any(|codec| codec.law().is_some());
            let same = other.iter().find_map(|codec| of(*codec));
            same.or_else(|| readable().filter(|_| converts))?
        }
        None => kept().or_else(readable).or_else(|| usable.first().copied())?,
    };
    let mut formats = vec![Format { payload_type, meaning: Meaning::Sound(codec) }];
    let clocks = [codec.clock(), 8000];
    let events = clocks.into_iter().find_map(|clock| Some((clock, offered.events(clock)?)));
    formats
        .extend(events.map(|(clock, payload_type)| Format { payload_type, meaning: Meaning::Events(clock) }));
    Some(formats)
}

/// Of what we offered, what the peer's answer takes, under the peer's numbers.
pub fn taken(offered: &[Format], answer: &Media) -> Vec<Format> {
    let known = |format: &&Format| offered.iter().any(|ours| ours.meaning == format.meaning);
    answer.formats.iter().filter(known).copied().collect()
}

/// A payload type for what is offered: the one that the leg knows already, or the usual, or a free one.
fn number(meaning: Meaning, agreed: &[Format], formats: &[Format]) -> u8 {
    if let Some(format) = agreed.iter().find(|format| format.meaning == meaning) {
        return format.payload_type;
    }
    let usual = match meaning {
        Meaning::Sound(codec) => codec.static_type().unwrap_or(107),
        Meaning::Events(8000) => 101,
        Meaning::Events(_) => 102,
    };
    let free = |number: &u8| {
        let has = |format: &Format| format.payload_type == *number;
        !agreed.iter().any(has) && !formats.iter().any(has)
    };
    Some(usual).filter(free).or_else(|| (96..=127).find(free)).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::super::sdp::Sdp;
    use super::*;

    fn media(line: &str) -> Media {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{line}\r\n");
        Sdp::parse(text.as_bytes()).unwrap().media.remove(0)
    }

    fn told(formats: &[Format]) -> String {
        let told = formats.iter().map(|format| match format.meaning {
            Meaning::Sound(codec) => format!("{}={}", format.payload_type, codec.name()),
            Meaning::Events(clock) => format!("{}=events/{clock}", format.payload_type),
        });
        told.collect::<Vec<_>>().join(" ")
    }

    const MANY: &str = "m=audio 4000 RTP/AVP 111 9 0 8 96 97\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtpmap:96 telephone-event/8000\r\na=rtpmap:97 telephone-event/48000";

    #[track_caller]
    fn check_answer(offer: &str, known: Known<'_>, expected: &str) {
        let answer = to_answer(&media(offer), known);
        assert_eq!(answer.map(|formats| told(&formats)).unwrap_or_default(), expected);
    }

    #[test]
    fn a_leg_that_is_answered_alone_speaks_g711_since_that_can_be_played_and_read() {
        check_answer(MANY, Known::default(), "0=PCMU 96=events/8000");
        check_answer("m=audio 4000 RTP/AVP 9", Known::default(), "9=G722");
    }

    #[test]
    fn the_codec_that_the_other_leg_agreed_on_is_taken() {
        let other = |codecs| Known { other: Some(codecs), ..Known::default() };

        check_answer(MANY, other(&[Codec::Opus]), "111=opus 97=events/48000");
        check_answer(MANY, other(&[Codec::G722, Codec::Pcmu]), "9=G722 96=events/8000");
        check_answer("m=audio 4000 RTP/AVP 0", other(&[Codec::Pcma]), "0=PCMU");
        check_answer("m=audio 4000 RTP/AVP 9", other(&[Codec::Pcma]), "");
        check_answer("m=audio 4000 RTP/AVP 18", Known::default(), "");
    }

    #[test]
    fn a_repeated_offer_keeps_its_codec() {
        let agreed = [Format { payload_type: 8, meaning: Meaning::Sound(Codec::Pcma) }];

        check_answer(MANY, Known { agreed: &agreed, ..Known::default() }, "8=PCMA 96=events/8000");
    }

    #[test]
    fn what_is_recorded_must_be_readable() {
        let known = Known { other: Some(&[Codec::Opus, Codec::Pcma]), readable: true, ..Known::default() };

        check_answer(MANY, known, "8=PCMA 96=events/8000");
        check_answer("m=audio 4000 RTP/AVP 9", known, "");
        assert_eq!(told(&to_offer(known)), "8=PCMA 0=PCMU 101=events/8000");
    }

    #[test]
    fn an_offer_follows_the_other_legs_wishes_and_adds_the_other_law() {
        let other = |codecs| Known { other: Some(codecs), ..Known::default() };

        assert_eq!(told(&to_offer(other(&[Codec::Pcmu]))), "0=PCMU 8=PCMA 101=events/8000");
        assert_eq!(told(&to_offer(other(&[Codec::G722]))), "9=G722 101=events/8000");
        assert_eq!(
            told(&to_offer(Known::default())),
            "8=PCMA 0=PCMU 9=G722 107=opus 101=events/8000 102=events/48000"
        );
    }

    #[test]
    fn numbers_that_a_leg_knows_stay() {
        let agreed = [
            Format { payload_type: 101, meaning: Meaning::Sound(Codec::Opus) },
            Format { payload_type: 107, meaning: Meaning::Events(8000) },
        ];
        let known = Known { other: Some(&[Codec::Opus]), agreed: &agreed, readable: false };

        assert_eq!(told(&to_offer(known)), "101=opus 107=events/8000 102=events/48000");
    }
}
