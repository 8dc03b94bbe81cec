#[derive(clap::Args)]
pub struct Arguments {}
impl Arguments {
    pub fn run(self) -> Result<(), super::Failure> {
        Err(super::Failure::new("not yet"))
    }
}
