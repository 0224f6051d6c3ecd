//! Inputs chosen afresh each run, so that an answer known by heart is of no use; one seed gives one run's inputs.

/// A source of inputs.
#[derive(Clone, Debug)]
pub struct Nonce {
    state: u64,
}

impl Nonce {
    /// All inputs that follow are determined by `seed`.
    pub fn new(seed: u64) -> Nonce {
        Nonce { state: seed }
    }

    /// 64 bits of splitmix64.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high - low + 1)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.bits() % choices.len() as u64) as usize]
    }

    /// Lower-case letters.
    pub fn word(&mut self, len: usize) -> String {
        (0..len).map(|_| (b'a' + (self.bits() % 26) as u8) as char).collect()
    }

    /// Words with blanks between, `len` bytes in all.
    pub fn sentence(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len + 12);
        while text.len() < len {
            if !text.is_empty() {
                text.push(' ');
            }
            let letters = self.number(2, 9) as usize;
            text.push_str(&self.word(letters));
        }
        text.truncate(len);
        if text.ends_with(' ') {
            text.pop();
            text.push('x');
        }
        text
    }

    /// Bytes of every value.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.bits().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Lines of text, `len` bytes in all, with a newline at the end.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(len + 64);
        while text.len() < len {
            let line = self.number(10, 60) as usize;
            text.extend_from_slice(self.sentence(line).as_bytes());
            text.push(b'\n');
        }
        text.truncate(len);
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_inputs_again_and_another_seed_others() {
        let run = |seed| {
            let mut n = Nonce::new(seed);
            (n.word(8), n.sentence(40), n.number(5, 9), n.bytes(13), n.text(100))
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let (word, sentence, number, bytes, text) = run(1);
        assert_eq!((word.len(), sentence.len(), bytes.len(), text.len()), (8, 40, 13, 100));
        assert!((5..=9).contains(&number) && text.ends_with(b"\n") && !sentence.ends_with(' '));
    }
}
