//! How an upgrade in waves looks.

use std::io;
use std::ops::Range;

use serde_json::json;

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
    /// What is about to be done: for people, as JSON has one document.
    pub fn upgrade(&mut self, picture: &UpgradePicture<'_>) -> io::Result<()> {
        if self.is_json() {
            return Ok(());
        }
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
        if self.is_json() {
            return Ok(());
        }
        self.line(format!(
            "  {GREEN}wave {} of {}{GREEN:#}: {} work with it",
            wave.number,
            wave.of,
            counted(wave.clients)
        ))
    }

    /// All waves ended well.
    pub fn upgraded(&mut self, picture: &UpgradePicture<'_>) -> io::Result<()> {
        if self.is_json() {
            let waves: Vec<usize> = picture.waves.iter().map(|it| it.len()).collect();
            return self.json(&json!({
                "version": 1, "image": picture.image, "clients": picture.clients, "waves": waves,
            }));
        }
        self.line(format!("Done: {} have it.", counted(picture.clients)))
    }
}
