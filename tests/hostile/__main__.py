"""`python -m hostile`: the corpus counts itself, as JSON that a page can print.

Inside: `FAMILIES`.
"""

import json

from hostile import annotations, checkpoints, configs, images, records, splits

FAMILIES = {
    "pictures": images.CASES,
    "annotations": annotations.CASES,
    "split files": splits.CASES,
    "weights of a run": checkpoints.WEIGHTS,
    "weights for a backbone": checkpoints.STATE_DICTS,
    "checkpoints": checkpoints.SAVED,
    "records": records.CASES,
    "tables of records": records.TABLES,
    "configurations": configs.CASES,
    "command lines": configs.COMMANDS,
}

if __name__ == "__main__":
    refused = {family: sum(bool(case.refused) for case in cases) for family, cases in FAMILIES.items()}
    rows = [f"| {family} | {len(cases)} | {refused[family]} | {len(cases) - refused[family]} |" for family, cases in FAMILIES.items()]
    table = "\n".join(["| family | inputs | refused | accepted |", "|:--|--:|--:|--:|", *rows])
    total = sum(map(len, FAMILIES.values()))
    print(json.dumps({"table": table, "total": str(total), "refused": str(sum(refused.values()))}))
