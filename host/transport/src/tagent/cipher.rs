//! RC4 as the agent uses it: the key schedule starts afresh for every single use (spec §2).

use zeroize::Zeroizing;

use crate::secret::Secret;

/// The shared credential of an agent.
pub struct Cipher {
    /// The key schedule's result. Made once: it depends on nothing but the credential.
    state: Zeroizing<[u8; 256]>,
}

impl Cipher {
    /// None for an empty credential, which is no key.
    pub fn new(credential: &Secret) -> Option<Self> {
        let key = credential.expose().as_bytes();
        if key.is_empty() {
            return None;
        }
        let mut state = Zeroizing::new(std::array::from_fn(|i| u8::try_from(i).unwrap_or(0)));
        let mut j = 0_u8;
        for (i, key_byte) in (0..=255_u8).zip(key.iter().cycle()) {
            j = j.wrapping_add(state[usize::from(i)]).wrapping_add(*key_byte);
            state.swap(usize::from(i), usize::from(j));
        }
        Some(Self { state })
    }

    /// Encrypts or decrypts in place.
    pub fn apply(&self, data: &mut [u8]) {
        let mut state = self.state.clone();
        let (mut i, mut j) = (0_u8, 0_u8);
        for byte in data {
            i = i.wrapping_add(1);
            j = j.wrapping_add(state[usize::from(i)]);
            state.swap(usize::from(i), usize::from(j));
            let at = state[usize::from(i)].wrapping_add(state[usize::from(j)]);
            *byte ^= state[usize::from(at)];
        }
    }

    /// Encrypts a text and writes it in lower-case hex.
    pub fn seal(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.apply(&mut bytes);
        hex::encode(bytes)
    }

    /// Reads hex of either case and decrypts it; none for what is no hex.
    pub fn open(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = hex::decode(text).ok()?;
        self.apply(&mut bytes);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_specification() {
        let cipher = |key: &str| Cipher::new(&Secret::new(key.to_owned())).unwrap();
        assert_eq!(cipher("Key").seal("Plaintext"), "bbf316e8d940af0ad3");
        // The stored form of the credential in the agent's own file (spec §8).
        assert_eq!(cipher("#ts=9^0$1").seal("demo-Secret-01"), "0fe3194217a58df48951c813b9c5");
        let demo = cipher("demo-Secret-01");
        assert_eq!(demo.seal("12345,678,1700000000"), "736898b0eb566b7810ba4df665482bc1f3bd20bb");
        assert_eq!(demo.seal("auth succeed"), "232fdfecfe09282c4bf319a5");
        assert_eq!(demo.seal("auth failed"), "232fdfecfe1c3c2644f318");
        assert_eq!(demo.open(b"232FDFECFE1C3C2644F318").unwrap(), b"auth failed");
        assert!(demo.open(b"23f").is_none() && demo.open(b"zz").is_none());
        assert!(Cipher::new(&Secret::new(String::new())).is_none());
    }
}
