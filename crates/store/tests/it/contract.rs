//! The contract of storage, case by case.

mod allocations;
mod audit;
mod calls;
mod claims;
pub mod deliveries;
mod directory;
mod guards;
pub mod happenings;
mod owing;
pub mod receipts;
pub mod tidying;
mod whole_changes;

/// Runs every case on every store.
macro_rules! contract {
    ({ $($backend:ident: $open:path,)* } $cases:tt) => {
        $(contract!(@on $backend, $open, $cases);)*
    };
    (@on $backend:ident, $open:path, { $($file:ident: $($case:ident,)*;)* }) => {
        mod $backend {
            $(mod $file {
                $(#[tokio::test]
                async fn $case() {
                    crate::contract::$file::$case(&$open().await).await;
                })*
            })*
        }
    };
}

contract! {
    {
        sqlite: crate::world::sqlite,
        postgres: crate::world::postgres,
        pooled_postgres: crate::world::pooled_postgres,
        divided_postgres: crate::world::divided_postgres,
    }
    {
        claims:
            a_key_is_held_by_one_allocation,
            a_claim_is_free_from_its_time_on,
            an_allocation_holds_on_to_its_own_claim,
            only_its_own_claims_cool,
            a_cooled_claim_is_free_at_its_new_time,
            a_number_is_claimed_on_each_virtual_number_apart,
            tenants_name_their_connections_apart,
            claims_are_found_in_the_place_of_their_keys,
            claims_are_paged_in_the_order_of_their_keys,
            what_a_number_held_is_remembered,;
        allocations:
            an_allocation_reads_back_as_it_was_written,
            an_id_is_used_once,
            an_update_needs_the_form_before_it,
            an_allocation_is_its_tenants,
            a_connection_id_finds_what_it_named_last,
            a_number_finds_its_allocations_newest_first,
            a_list_is_paged_and_counted,
            a_list_is_of_what_was_made_in_its_time,
            a_list_can_be_of_the_active_or_the_others,
            what_is_overdue_is_found_longest_first,
            loads_count_what_is_lent,
            all_allocations_are_paged_in_one_order,;
        guards:
            only_open_numbers_of_the_tenant_are_lendable,
            a_number_held_whole_is_not_shared,
            an_allocation_shares_with_itself,
            pins_need_room,
            pins_that_are_held_no_more_leave_room,
            its_own_pins_take_no_room_even_when_they_cool,;
        directory:
            a_tenant_is_added_once,
            a_trunk_is_kept_changed_and_removed,
            settings_are_kept_and_read_back,
            a_setting_may_rest_on_another,
            a_tenant_has_two_live_keys_at_most,
            a_revoked_key_is_live_no_more,
            a_number_is_in_one_pool,
            a_number_put_again_is_open_with_what_is_new,
            only_numbers_of_the_pool_change_their_lending,
            a_number_is_removed_when_nothing_is_held_on_it,
            a_number_is_not_removed_under_a_pin_or_a_whole_claim,
            every_change_of_the_directory_moves_the_revision,
            other_changes_leave_the_revision,;
        calls:
            a_call_finds_who_holds_its_number,
            a_caller_who_holds_nothing_is_nobody,
            a_withheld_number_is_nobody,
            a_call_learns_whether_pins_are_held,
            a_pin_finds_its_holder_while_it_is_held,
            the_pins_of_a_number_are_those_held,;
        receipts:
            a_receipt_reads_back_as_it_was_kept,
            an_answer_is_kept_once,
            a_kept_answer_goes_before_every_refusal,;
        tidying:
            what_no_rule_looks_at_is_thrown_away,
            what_is_held_or_lent_stays,
            a_step_looks_at_so_many_rows,;
        whole_changes:
            nothing_is_kept_of_a_refused_change,
            a_refused_change_leaves_its_neighbours,
            a_change_that_can_wait_needs_no_other,
            a_change_that_no_program_should_make_fails_alone,
            a_rehearsal_keeps_nothing,
            a_moved_allocation_goes_before_its_claims,
            an_empty_change_keeps_its_moment,
            the_latest_moment_never_goes_back,
            nothing_is_damaged,;
        happenings:
            a_call_reads_back_as_it_was_kept,
            a_call_moves_on_until_it_has_ended,
            calls_are_found_newest_first_by_what_they_are,
            the_calls_of_a_dead_node_are_orphans,
            old_calls_go_unless_they_are_open,
            a_node_is_told_which_calls_to_hang_up,
            every_kind_of_event_reads_back_as_it_was_owed,
            an_event_is_owed_once,
            events_are_found_in_both_orders_by_what_they_are,
            a_name_that_needs_care_reads_back,;
        deliveries:
            an_endpoint_reads_back_as_it_was_put,
            a_tenant_has_so_many_endpoints_at_most,
            a_setting_is_an_endpoint_with_a_row_of_its_own,
            only_endpoints_that_are_there_are_changed,
            an_endpoint_is_changed_only_if_it_is_what_it_was_taken_for,
            the_row_of_a_setting_is_made_by_its_first_change,
            whoever_delivers_is_told_when_something_is_owed,
            a_line_is_delivered_in_its_order,
            a_lease_ends_with_its_time,
            what_became_of_a_try_is_kept,
            what_was_settled_can_be_owed_again,
            deliveries_are_found_by_what_they_are,
            what_is_owed_to_a_removed_endpoint_is_given_up,
            old_events_go_once_nothing_of_them_is_owed,;
        audit:
            an_entry_tells_who_did_what_in_answer_to_what,
            a_sealed_chain_holds,
            two_sealers_do_not_both_have_their_way,
            an_old_beginning_of_the_chain_is_thrown_away,
            a_chain_sealed_otherwise_does_not_hold,
            every_change_of_the_directory_has_its_entry,;
        owing:
            nothing_is_owed_that_nobody_wants,
            the_life_of_an_allocation_is_told,
            a_pool_that_is_nearly_empty_is_told,
            leadassists_events_go_to_their_settings,
            an_event_is_replayed_with_its_id,
            what_is_changed_by_an_old_picture_of_an_endpoint_is_refused,
            a_step_of_a_call_that_is_tried_again_is_kept_once,
            calls_of_a_dead_node_are_interrupted_once,
            an_erased_number_stands_nowhere,
            a_virtual_number_is_not_erased,;
    }
}
