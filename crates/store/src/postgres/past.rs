//! What numbers hold and held, read in one statement for all who ask at the same time.
//!
//! Every allocation asks before it chooses a virtual number, and a statement costs the engine and the node much the
//! same however many numbers it is about. Who asks while others are being answered waits for their answer, and is then
//! answered together with all who wait.

use std::collections::HashMap;
use std::sync::Arc;

use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{PastClaim, StoreError};
use tokio::sync::{Mutex, mpsc};

use super::fault::Fault;
use super::queue::{Answer, QUEUE, ask};
use super::reader::Reader;
use super::rows;
use super::statements as sql;
use crate::encoding::digits;

/// How many are answered together at most. Raising it makes the first of them wait for longer; lowering it makes each pay
/// more for the round trip.
const TOGETHER: usize = 256;

/// How many statements are under way at a time: what one waits for does not hold up all others.
const LANES: usize = 2;

/// The way to those who read.
pub(super) struct PastReader {
    questions: mpsc::Sender<Question>,
}

/// Numbers, and who wants to know of them.
struct Question {
    numbers: Vec<PhoneNumber>,
    answer: Answer<Vec<PastClaim>>,
}

impl PastReader {
    /// Starts the lanes; they end when this is dropped.
    pub(super) fn start(db: &Reader) -> PastReader {
        let (questions, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..LANES {
            tokio::spawn(answer_all(db.clone(), Arc::clone(&waiting)));
        }
        PastReader { questions }
    }

    /// See [`Store::past_of`](callveil_domain::store::Store::past_of).
    pub(super) async fn past_of(&self, numbers: &[PhoneNumber]) -> Result<Vec<PastClaim>, StoreError> {
        ask(&self.questions, gone, |answer| Question { numbers: numbers.to_vec(), answer }).await
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("a reader has ended".to_owned())
}

/// Answers until nobody can ask any more.
async fn answer_all(db: Reader, waiting: Arc<Mutex<mpsc::Receiver<Question>>>) {
    while let Some(questions) = gather(&waiting).await {
        let past = read(&db, &questions).await.map_err(StoreError::from);
        for Question { numbers, answer } in questions {
            let own = past.as_ref().map(|past| of_these(past, numbers)).map_err(Clone::clone);
            // Whoever asked may have left.
            let _ = answer.send(own);
        }
    }
}

/// Waits for a question and takes with it all that wait.
async fn gather(waiting: &Mutex<mpsc::Receiver<Question>>) -> Option<Vec<Question>> {
    let mut waiting = waiting.lock().await;
    let mut questions = vec![waiting.recv().await?];
    while questions.len() < TOGETHER
        && let Ok(question) = waiting.try_recv()
    {
        questions.push(question);
    }
    Some(questions)
}

/// The past of all numbers that are asked about, by number.
async fn read(db: &Reader, questions: &[Question]) -> Result<HashMap<PhoneNumber, Vec<PastClaim>>, Fault> {
    let mut wanted: Vec<i64> = questions.iter().flat_map(|q| &q.numbers).copied().map(digits).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut past: HashMap<PhoneNumber, Vec<PastClaim>> = HashMap::new();
    for row in db.rows_of_many(&sql::PAST_OF, &[&wanted]).await? {
        let claim = rows::past_claim(&row)?;
        past.entry(claim.number).or_default().push(claim);
    }
    Ok(past)
}

/// The past of some of the numbers, each once.
fn of_these(past: &HashMap<PhoneNumber, Vec<PastClaim>>, mut numbers: Vec<PhoneNumber>) -> Vec<PastClaim> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().filter_map(|number| past.get(number)).flatten().copied().collect()
}
