//! What must hold for any datagram on the job socket. Used by the fuzz target and by the property test of
//! `autoexec-control`.

use autoexec_control::Message;

/// A datagram has a meaning or a complaint that repeats little of it (which names a variable may have is a rule of the engine,
/// `JobVariables` there); whoever waits for a reply gets one that fits into what
/// the plugins read, and names the same reason.
pub(crate) fn datagram(bytes: &[u8]) {
    match Message::parse(bytes) {
        Ok(message) => {
            // The same datagram always means the same.
            assert_eq!(Message::parse(bytes).as_ref(), Ok(&message));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 500, "{text}");
            assert!(!text.contains(['\n', '\r', '\u{1b}']), "{text:?}");
            if let Some(reply) = error.reply() {
                let reply = reply.to_string();
                // Perl plugins read at most 1024 bytes.
                assert!(reply.len() <= 1024, "{reply}");
            }
        }
    }
}
