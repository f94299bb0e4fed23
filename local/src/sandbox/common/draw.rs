//! Chance that repeats: every draw follows from the seed and what it is for.

/// A stream of draws (SplitMix64), named by what it decides.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64, label: &str, parts: &[u64]) -> Draw {
        let mut draw = Draw(seed);
        for byte in label.bytes() {
            draw.mix(u64::from(byte));
        }
        for part in parts {
            draw.mix(*part);
        }
        draw
    }

    fn mix(&mut self, value: u64) {
        self.0 = self.0.rotate_left(9) ^ value;
        self.0 = self.bits();
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end.max(1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from).max(1) as u64) as i64
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    pub fn uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.bits().to_be_bytes());
        bytes[8..].copy_from_slice(&self.bits().to_be_bytes());
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// The id of the `index`th document of a kind.
pub fn id(seed: u64, kind: &str, index: usize) -> String {
    Draw::new(seed, "id", &[kind_number(kind), index as u64]).uuid()
}

fn kind_number(kind: &str) -> u64 {
    Draw::new(0, kind, &[]).bits()
}

/// The id of a part of a document, such as one of its lines.
pub fn part_id(seed: u64, kind: &str, index: usize, part: usize) -> String {
    Draw::new(
        seed,
        "part",
        &[kind_number(kind), index as u64, part as u64],
    )
    .uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_purpose_draws_the_same() {
        assert_eq!(id(7, "invoice", 3), id(7, "invoice", 3));
        assert_ne!(id(7, "invoice", 3), id(8, "invoice", 3));
        assert_ne!(id(7, "invoice", 3), id(7, "contact", 3));
        assert_ne!(id(7, "invoice", 3), id(7, "invoice", 4));
    }
}
