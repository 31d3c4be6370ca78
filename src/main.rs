//! The command line. Each verb's body is one file in `cli/`.

mod cli;

use clap::{Parser, Subcommand};

/// Vision models, pretrained weights, data sets and scaling experiments over libtorch.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
struct Args {
    /// All of what an error of weights that do not fit cuts short
    #[arg(long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Versions, linkage, devices, threads, what is wrong and how to mend it
    Doctor(cli::doctor::Args),
    /// The models: their names, shapes and costs
    #[command(subcommand)]
    Models(cli::models::Verb),
    /// Weights: list, fetch, inspect, convert, verify
    #[command(subcommand)]
    Weights(cli::weights::Verb),
    /// What is in pictures: the likeliest classes of each
    Classify(cli::classify::Args),
    /// The input that a picture becomes, as safetensors
    Preprocess(cli::preprocess::Args),
    /// Write what a network knows of pictures before it names their classes
    Features(cli::features::Args),
    /// Accuracy on a folder of pictures or a data set
    Eval(cli::eval::Args),
    /// What a network looks at
    #[command(subcommand)]
    Explain(cli::explain::Verb),
    /// Train one model from one YAML file; run again to go on after an interruption
    Train(cli::train::Args),
    /// What public weights and papers trained with
    #[command(subcommand)]
    Recipe(cli::recipe::Verb),
    /// Answer a question from one YAML file: plan, run, status, report
    #[command(subcommand)]
    Experiment(cli::experiment::Verb),
    /// What is fast and what is not, beside other libraries
    #[command(subcommand)]
    Bench(cli::bench::Verb),
    /// The data sets: list, fetch, inspect
    #[command(subcommand)]
    Data(cli::data::Verb),
}

fn main() {
    tchvision::torch::keep_allocations();
    let Args { verbose, verb } = Args::parse();
    let outcome = match verb {
        Verb::Doctor(args) => cli::doctor::run(args),
        Verb::Models(verb) => cli::models::run(verb),
        Verb::Weights(verb) => cli::weights::run(verb),
        Verb::Classify(args) => cli::classify::run(&args),
        Verb::Preprocess(args) => cli::preprocess::run(&args),
        Verb::Features(args) => cli::features::run(args),
        Verb::Eval(args) => cli::eval::run(&args),
        Verb::Explain(verb) => cli::explain::run(&verb),
        Verb::Train(args) => cli::train::run(args),
        Verb::Recipe(verb) => cli::recipe::run(verb),
        Verb::Experiment(verb) => cli::experiment::run(verb),
        Verb::Bench(verb) => cli::bench::run(verb),
        Verb::Data(verb) => cli::data::run(verb),
    };
    cli::exit(outcome, verbose)
}
