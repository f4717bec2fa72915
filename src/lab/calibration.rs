//! What this machine costs: figures to foresee with, assumed until they are measured.
//!
//! It deliberately measures nothing (that is [`super::calibrate`]).

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calibration_file;
use super::plan::Machine;
use crate::model::HouseSize;
use crate::sim::{Costs, Supply};

/// How long a calibration may take: ten times what it takes on an idle machine (chosen). Everybody else's orders wait for it.
pub const AT_MOST: Duration = Duration::from_secs(30);

/// The machine as it is foreseen with.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// What things cost.
    pub costs: Costs,
    /// Cores the kernel lets the house use.
    pub cores: u32,
    /// CPU seconds per second that so many burners get together: number and figure, ascending.
    pub effective_cores: Vec<(u32, f64)>,
    /// The house's own staff.
    pub house: HouseSize,
    /// When it was measured, if it was.
    pub measured: Option<Measured>,
}

/// A measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Microseconds since 1970.
    pub at_us: i64,
    /// Milliseconds it took.
    pub took_ms: u64,
    /// The machine it is about.
    pub host: String,
}

impl Calibration {
    /// Nothing measured: the costs of the machine this was written on, and every core a whole one.
    #[must_use]
    pub fn assumed(house: HouseSize) -> Self {
        let cores = house.kitchens.max(1);
        let effective_cores = vec![(cores, f64::from(cores))];
        Self { costs: Costs::default(), cores, effective_cores, house, measured: None }
    }

    /// CPU seconds per second that as many burners get as there are cores.
    #[must_use]
    pub fn all_cores(&self) -> f64 {
        let all = self.effective_cores.iter().find(|(burners, _)| *burners == self.cores);
        all.map_or(f64::from(self.cores), |(_, cores)| *cores)
    }

    /// What this machine supplies when as many burners as cores get `cores` together; of another one, so many cores.
    #[must_use]
    pub fn supply(&self, cores: f64) -> Supply {
        let factor = cores / self.all_cores();
        match self.measured {
            // Its neighbours come and go, but it has no more cores than it has.
            Some(_) if cores <= f64::from(self.cores) => Supply::measured(&self.effective_cores, factor),
            _ => Supply::of(cores),
        }
    }

    /// The machine as it is.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine { cores: self.all_cores(), house: self.house }
    }

    /// The same costs on a machine of so many cores without neighbours, and staff to match.
    #[must_use]
    pub fn elsewhere(&self, cores: u32) -> Self {
        let house = HouseSize { pool: (cores + 4).min(32), kitchens: cores };
        Self { cores, effective_cores: vec![(cores, f64::from(cores))], house, ..self.clone() }
    }
}

/// The last calibration of a house.
#[derive(Debug)]
pub struct Calibrations {
    last: Mutex<Calibration>,
    /// Where it is kept for whoever starts later.
    folder: Option<PathBuf>,
}

impl Calibrations {
    /// The one that is kept in this folder, if it is of this machine; else nothing measured yet.
    #[must_use]
    pub fn new(house: HouseSize, folder: Option<PathBuf>) -> Self {
        let assumed = Calibration::assumed(house);
        let kept = folder.as_ref().and_then(|folder| calibration_file::read(folder, &host(assumed.cores), house));
        Self { last: Mutex::new(kept.unwrap_or(assumed)), folder }
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Calibration {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it, and keeps it.
    pub fn replace(&self, calibration: &Calibration) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = calibration.clone();
        if let Some(folder) = &self.folder
            && let Err(error) = calibration_file::write(folder, calibration)
        {
            tracing::warn!(%error, folder = %folder.display(), "the calibration cannot be kept");
        }
    }
}

/// What tells this machine from another: processor, number of cores, kernel.
#[must_use]
pub fn host(cores: u32) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = model.map_or("unknown processor", |(_, name)| name.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processor}, {cores} cores, Linux {}", kernel.trim())
}
