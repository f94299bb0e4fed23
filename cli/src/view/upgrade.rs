//! How an upgrade in waves looks.

use std::io;
use std::ops::Range;

use super::fleet::counted;
use super::{DIM, GREEN, View};

/// What an upgrade is about to do.
pub struct UpgradePicture<'a> {
    pub image: &'a str,
    /// Clients that get it.
    pub clients: usize,
    /// Clients that were chosen.
    pub of: usize,
    pub waves: &'a [Range<usize>],
}

/// A wave that ended well.
pub struct WavePicture {
    pub number: usize,
    pub of: usize,
    pub clients: usize,
}

impl View {
    pub fn upgrade(&mut self, picture: &UpgradePicture<'_>) -> io::Result<()> {
        let waves: Vec<String> = picture
            .waves
            .iter()
            .map(|it| it.len().to_string())
            .collect();
        self.line(format!(
            "{} of {} get {}",
            picture.clients,
            counted(picture.of),
            picture.image
        ))?;
        self.line(format!("  {DIM}in waves of {}{DIM:#}", waves.join(", ")))
    }

    pub fn wave(&mut self, wave: &WavePicture) -> io::Result<()> {
        self.line(format!(
            "  {GREEN}wave {} of {}{GREEN:#}: {} work with it",
            wave.number,
            wave.of,
            counted(wave.clients)
        ))
    }
}
