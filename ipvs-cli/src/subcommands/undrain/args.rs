//! The options of `undrain`.

use clap::Args;
use ipvs::Weight;

use crate::change::args::ChangeArgs;
use crate::subcommands::servers::Servers;

const HELP: &str = "\
Exit status: 0 done; 1 a weight is not known, or was refused; 2 wrong usage, or
no access to IPVS; 3 the outcome is unknown, as the kernel could not be asked:
run it again.

Examples:
  ipvs-cli undrain tcp:192.0.2.1:80 192.0.2.11
  ipvs-cli undrain --all 192.0.2.11 --weight 5";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[command(override_usage = "ipvs-cli undrain [OPTIONS] SERVICE SERVER...
       ipvs-cli undrain [OPTIONS] --all SERVER [--all SERVER]...")]
pub(in crate::subcommands) struct Undrain {
    #[command(flatten)]
    pub(super) servers: Servers,
    /// Set this weight instead of the one that `drain` noted
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true, value_parser = weight_of_use)]
    pub(super) weight: Option<Weight>,
    /// Print the outcome for each server as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(in crate::subcommands) common: ChangeArgs,
}

/// A weight above 0: `drain` and `weight` set 0, as they check whether clients would be refused.
fn weight_of_use(text: &str) -> Result<Weight, String> {
    match text.parse() {
        Ok(Weight::ZERO) => Err("must be at least 1; `ipvs-cli drain` sets weight 0".to_owned()),
        Ok(weight) => Ok(weight),
        Err(error) => Err(format!("must be {}", ipvs::InvalidValue::allowed(&error))),
    }
}
