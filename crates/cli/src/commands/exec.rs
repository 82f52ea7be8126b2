//! `holm exec`: a command inside an instance; its exit code is ours.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use holm_client::ExecSender;
use holm_model::tunnel::{ExecIn, ExecOut};
use tokio::sync::mpsc;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::say_bytes;
use crate::resolve;

#[derive(Args, Debug)]
pub(crate) struct Exec {
    /// An id, the start of one, or a slot as in `app/web/2`
    instance: String,
    /// What to run there
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Bytes of standard input in one message.
const CHUNK: usize = 16 * 1024;

pub(crate) async fn run(At { args, connect }: At<Exec>) -> Result<ExitCode, Failure> {
    let client = connect.client()?;
    let instance = resolve::instance(&client, &args.instance).await?;
    // Only instances with an id are resolved.
    let id = instance.id.unwrap_or_default();
    let (sender, mut receiver) = client.exec(&id, &args.command).await?.split();
    let typing = tokio::spawn(send_input(sender, stdin()));
    let mut code = None;
    while let Some(said) = receiver.next().await {
        match said? {
            ExecOut::Stdout(bytes) => say_bytes(&bytes)?,
            ExecOut::Stderr(bytes) => {
                // Nobody reads it: the command goes on all the same.
                let _ = std::io::stderr().write_all(&bytes);
            }
            ExecOut::Exit(exit) => {
                code = Some(exit);
                break;
            }
        }
    }
    typing.abort();
    let code = code.ok_or_else(|| {
        Failure::new("the connection ended before the command did")
            .hint("look with `holm get instances` whether the instance still runs")
    })?;
    // As shells do: what does not fit is a failure.
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
}

/// Standard input by a thread of its own: a blocking read cannot be cancelled, and nobody waits for it.
fn stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let (mut stdin, mut buffer) = (std::io::stdin(), vec![0; CHUNK]);
        while let Ok(read @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn send_input(mut to: ExecSender, mut input: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = input.recv().await {
        if to.send(&ExecIn::Stdin(bytes)).await.is_err() {
            return;
        }
    }
    // When it cannot be sent the command has ended.
    let _ = to.send(&ExecIn::StdinEnd).await;
    // Dropping the sender would close the connection: what the command says is still to come.
    std::future::pending::<()>().await;
}
