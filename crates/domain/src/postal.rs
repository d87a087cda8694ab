//! Where in India a postal code is, in the telecom circles that virtual numbers are sorted by.
//!
//! The first two digits are a state or a part of one, the first three a sorting district of India Post. Telecom
//! circles follow the states as they were in the 1990s, with Mumbai and Kolkata apart and Uttar Pradesh in two.
//! So a short table of prefixes says nearly everything, and the longest prefix wins.

/// The circles in which to look for a number for this postal code, best first: the one that the place is in,
/// then the closest of `DL MU MH WB AP TN GJ KA KL RJ MP`, where numbers are most easily had. None for what is
/// not six digits, for codes that are not in use, and for the army's, which are in no place.
pub fn circles_for(postal_code: &str) -> Option<&'static [&'static str]> {
    if postal_code.len() != 6 || !postal_code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let prefixes = [4, 3, 2].map(|length| &postal_code[..length]);
    prefixes.into_iter().find_map(|prefix| {
        let index = CIRCLES.binary_search_by_key(&prefix, |(listed, _)| listed).ok()?;
        Some(CIRCLES[index].1)
    })
}

/// Sorted, so that it can be searched.
const CIRCLES: [(&str, &[&str]); 84] = [
    ("11", &["DL"]),
    ("12", &["HR", "DL"]),
    ("13", &["HR", "DL"]),
    ("14", &["PB", "DL"]),
    ("15", &["PB", "DL"]),
    ("16", &["PB", "DL"]), // Chandigarh
    ("17", &["HP", "DL"]),
    ("18", &["JK", "DL"]),
    ("19", &["JK", "DL"]), // Ladakh
    ("20", &["UW", "DL"]),
    ("208", &["UE", "MP"]), // Kanpur and Farrukhabad
    ("209", &["UE", "MP"]),
    ("21", &["UE", "MP"]),
    ("22", &["UE", "MP"]),
    ("23", &["UE", "MP"]),
    ("24", &["UW", "DL"]),  // includes Uttarakhand
    ("241", &["UE", "MP"]), // Hardoi
    ("242", &["UE", "MP"]), // Shahjahanpur
    ("25", &["UW", "DL"]),
    ("26", &["UW", "DL"]),   // 262 and 263 include Uttarakhand
    ("261", &["UE", "MP"]),  // Sitapur
    ("2627", &["UE", "MP"]), // Lakhimpur Kheri
    ("2628", &["UE", "MP"]),
    ("2629", &["UE", "MP"]),
    ("27", &["UE", "MP"]),
    ("28", &["UW", "DL"]),
    ("284", &["UE", "MP"]), // Jhansi
    ("285", &["UE", "MP"]), // Jalaun
    ("30", &["RJ"]),
    ("31", &["RJ"]),
    ("32", &["RJ"]),
    ("33", &["RJ"]),
    ("34", &["RJ"]),
    ("36", &["GJ"]),
    ("37", &["GJ"]),
    ("38", &["GJ"]),
    ("39", &["GJ"]),
    ("40", &["MH"]),        // Goa, 403, is in this circle too
    ("400", &["MU", "MH"]), // Mumbai and Navi Mumbai
    ("401", &["MU", "MH"]), // Vasai and Palghar
    ("41", &["MH"]),
    ("4102", &["MU", "MH"]), // Panvel and the rest of Navi Mumbai
    ("42", &["MH"]),
    ("421", &["MU", "MH"]), // Kalyan
    ("43", &["MH"]),
    ("44", &["MH"]),
    ("45", &["MP"]),
    ("46", &["MP"]),
    ("47", &["MP"]),
    ("48", &["MP"]),
    ("49", &["MP"]), // Chhattisgarh
    ("50", &["AP"]), // Telangana
    ("51", &["AP"]),
    ("52", &["AP"]),
    ("53", &["AP"]),
    ("56", &["KA"]),
    ("57", &["KA"]),
    ("58", &["KA"]),
    ("59", &["KA"]),
    ("60", &["TN"]), // Puducherry, 605, is in this circle too
    ("61", &["TN"]),
    ("62", &["TN"]),
    ("63", &["TN"]),
    ("64", &["TN"]),
    ("67", &["KL"]),
    ("68", &["KL"]), // Lakshadweep, 6825, is in this circle too
    ("69", &["KL"]),
    ("70", &["WB"]),
    ("700", &["KO", "WB"]), // Kolkata
    ("71", &["WB"]),
    ("72", &["WB"]),
    ("73", &["WB"]), // Sikkim, 737, is in this circle too
    ("74", &["WB"]), // the Andamans, 744, are in this circle too
    ("75", &["OR", "WB"]),
    ("76", &["OR", "WB"]),
    ("77", &["OR", "WB"]),
    ("78", &["AS", "WB"]),
    ("79", &["NE", "WB"]), // Arunachal Pradesh to Tripura
    ("80", &["BR", "WB"]),
    ("81", &["BR", "WB"]), // this and 82, 83 include Jharkhand
    ("82", &["BR", "WB"]),
    ("83", &["BR", "WB"]),
    ("84", &["BR", "WB"]),
    ("85", &["BR", "WB"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postal_code_names_its_circle_and_then_the_closest_one_with_numbers() {
        check("110001", "DL");
        check("122001", "HR DL");
        check("160017", "PB DL");
        check("171001", "HP DL");
        check("194101", "JK DL");
        check("201301", "UW DL");
        check("208001", "UE MP");
        check("226001", "UE MP");
        check("242001", "UE MP");
        check("243001", "UW DL");
        check("244713", "UW DL");
        check("248001", "UW DL");
        check("262501", "UW DL");
        check("262701", "UE MP");
        check("263001", "UW DL");
        check("282001", "UW DL");
        check("284001", "UE MP");
        check("302001", "RJ");
        check("380001", "GJ");
        check("400001", "MU MH");
        check("400703", "MU MH");
        check("410210", "MU MH");
        check("411001", "MH");
        check("421301", "MU MH");
        check("403001", "MH");
        check("462001", "MP");
        check("492001", "MP");
        check("500001", "AP");
        check("560001", "KA");
        check("600001", "TN");
        check("605001", "TN");
        check("682555", "KL");
        check("695001", "KL");
        check("700001", "KO WB");
        check("711101", "WB");
        check("737101", "WB");
        check("744101", "WB");
        check("751001", "OR WB");
        check("781001", "AS WB");
        check("793001", "NE WB");
        check("800001", "BR WB");
        check("834001", "BR WB");

        fn check(postal_code: &str, expected: &str) {
            assert_eq!(
                circles_for(postal_code).map(|c| c.join(" ")),
                Some(expected.to_owned()),
                "{postal_code}"
            );
        }
    }

    #[test]
    fn what_is_no_place_has_no_circle() {
        for postal_code in
            ["", "56000", "5600011", "560 01", "05600１", "५६०००१", "060001", "290001", "900001", "990001"]
        {
            assert_eq!(circles_for(postal_code), None, "{postal_code}");
        }
    }

    #[test]
    fn every_row_ends_where_numbers_are_had() {
        const SERVED: [&str; 11] = ["DL", "MU", "MH", "WB", "AP", "TN", "GJ", "KA", "KL", "RJ", "MP"];

        assert!(CIRCLES.is_sorted_by_key(|(prefix, _)| prefix));
        for (prefix, circles) in CIRCLES {
            assert!(circles.last().is_some_and(|last| SERVED.contains(last)), "{prefix}");
        }
    }
}
