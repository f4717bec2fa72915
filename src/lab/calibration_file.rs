//! The last calibration of this machine, in a file: services and commands that start later foresee with it.
//!
//! It is good for the host it was made on and the version that made it; anything else is as if it were not there. It deliberately
//! is a cache: what cannot be read or written is said in the log, and measured again when somebody asks.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, Measured};
use crate::model::HouseSize;
use crate::sim::Costs;

/// Name of the file in its folder.
const NAME: &str = "calibration.json";

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: String,
    measured: Measured,
    cores: u32,
    effective_cores: Vec<(u32, f64)>,
    costs: Costs,
}

/// The calibration in this folder, if it is of this host and this version; the house is as it is now.
#[must_use]
pub(super) fn read(folder: &Path, host: &str, house: HouseSize) -> Option<Calibration> {
    let text = std::fs::read(folder.join(NAME)).ok()?;
    let kept: Kept = serde_json::from_slice(&text).ok()?;
    let is_ours = kept.version == env!("CARGO_PKG_VERSION") && kept.measured.host == host;
    let Kept { measured, cores, effective_cores, costs, .. } = kept;
    is_ours.then_some(Calibration { costs, cores, effective_cores, house, measured: Some(measured) })
}

/// Writes a calibration that was measured, whole or not at all.
pub(super) fn write(folder: &Path, calibration: &Calibration) -> io::Result<()> {
    let Some(measured) = calibration.measured.clone() else { return Ok(()) };
    let kept = Kept {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        measured,
        cores: calibration.cores,
        effective_cores: calibration.effective_cores.clone(),
        costs: calibration.costs,
    };
    std::fs::create_dir_all(folder)?;
    // Several commands may end at once: each writes a file of its own and moves it there.
    let own: PathBuf = folder.join(format!("{NAME}.{}", std::process::id()));
    std::fs::write(&own, serde_json::to_vec_pretty(&kept)?)?;
    std::fs::rename(&own, folder.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_is_read_back_on_its_own_host_only() {
        let folder = std::env::temp_dir().join(format!("pasta-fasta-calibration-{}", std::process::id()));
        let house = HouseSize { pool: 6, kitchens: 2 };
        let measured = Measured { at_us: 1, took_ms: 2, host: "here".to_owned() };
        let costs = Costs { spawn: 123_456, ..Costs::default() };
        let effective_cores = vec![(1, 1.0), (2, 1.75)];
        let made = Calibration { costs, effective_cores, measured: Some(measured), ..Calibration::assumed(house) };
        write(&folder, &made).expect("a folder for temporary files");
        assert_eq!(read(&folder, "here", house), Some(made.clone()));
        let larger = HouseSize { pool: 32, ..house };
        assert_eq!(read(&folder, "here", larger).map(|kept| kept.house), Some(larger));
        assert_eq!(read(&folder, "elsewhere", house), None);
        std::fs::write(folder.join(NAME), "{\"version\":").expect("the same folder");
        assert_eq!(read(&folder, "here", house), None);
        std::fs::remove_dir_all(&folder).expect("the same folder");
        assert_eq!(read(&folder, "here", house), None);
        write(&folder, &Calibration::assumed(house)).expect("nothing is written");
        assert!(!folder.exists(), "what was not measured is not kept");
    }
}
