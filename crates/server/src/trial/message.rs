//! A SIP message, as far as a telephone that talks to us alone must read one.

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its first line.
    pub start: String,
    headers: Vec<(String, String)>,
    /// What follows the header.
    pub body: String,
}

impl Message {
    /// Reads a datagram.
    pub fn read(datagram: &[u8]) -> Option<Message> {
        let text = String::from_utf8_lossy(datagram);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        Some(Message { start, headers: lines.filter_map(header).collect(), body: body.to_owned() })
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request, or that of the request which a response answers.
    pub fn method(&self) -> &str {
        match self.status() {
            Some(_) => self.header("CSeq").and_then(|cseq| cseq.split(' ').nth(1)).unwrap_or_default(),
            None => self.start.split(' ').next().unwrap_or_default(),
        }
    }

    /// The first header field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// All header fields of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.headers.iter().filter(move |(one, _)| one.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The address between the angle brackets of a header field.
    pub fn address(&self, name: &str) -> Option<&str> {
        let value = self.header(name)?;
        match value.split_once('<') {
            Some((_, rest)) => rest.split('>').next(),
            None => value.split(';').next(),
        }
    }

    /// The user part of that address.
    pub fn user(&self, name: &str) -> Option<&str> {
        let address = self.address(name)?;
        address.strip_prefix("sip:")?.split(['@', ';']).next()
    }

    /// Where the peer takes sound.
    pub fn sound(&self) -> Option<std::net::SocketAddr> {
        let line = |key: &str| self.body.lines().find_map(|line| line.strip_prefix(key).map(str::trim));
        let address = line("c=IN IP4 ").or_else(|| line("c=IN IP6 "))?.parse().ok()?;
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(std::net::SocketAddr::new(address, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_telephone_asks_of_a_message_is_read() {
        let text = b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nTo: \"V\" <sip:+91@127.0.0.1>;tag=x\r\n\r\n\
                     c=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n";
        let message = Message::read(text).unwrap();
        assert_eq!((message.status(), message.method()), (Some(200), "INVITE"));
        assert_eq!((message.address("to"), message.user("To")), (Some("sip:+91@127.0.0.1"), Some("+91")));
        assert_eq!(message.sound(), "127.0.0.1:4000".parse().ok());
        assert!(Message::read(b"nonsense").is_none());
    }
}
