//! Webhooks: signs, guards, delivers and retries what the outbox holds.
