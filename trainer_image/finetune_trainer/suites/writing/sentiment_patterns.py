"""Forty themes of company news, each told as good, as bad and as neither: the theme does not give the answer away."""

from __future__ import annotations

from typing import NamedTuple

from finetune_trainer.suites.writing import table


class Theme(NamedTuple):
    """One subject in three tellings, in the order of the lines below."""

    positive: str
    negative: str
    neutral: str


_SUITE = table.groups(
    """
{company} beat forecasts with {quarter}-quarter profit up {percent}% and raised its outlook for the year.
{company} missed forecasts as {quarter}-quarter profit fell {percent}%, and it cut its outlook for the year.
{company} will publish {quarter}-quarter results before markets open, followed by a call with analysts.

A regulator approved the main new product of {company} six months earlier than expected.
A regulator rejected the main new product of {company} and asked for {count} more trials.
A regulator listed {company} among {count} firms whose routine licences come up for renewal this year.

{company} won a ${amount} million order, the largest in its history.
{company} lost a ${amount} million order to a rival after delivering late.
{company} signed the yearly extension of a supply agreement on the same terms as before.

{company} raised its dividend by {percent}% and announced a share buyback.
{company} suspended its dividend to preserve cash after {count} quarters of losses.
{company} set the record date for its usual dividend, which is the same as last year.

A rating agency upgraded {company}, pointing to lower debt and steady cash flow.
A rating agency cut {company} to junk, pointing to rising debt and shrinking cash flow.
A rating agency affirmed its rating of {company}; the outlook stays stable.

A court dismissed the ${amount} million lawsuit that had hung over {company} for years.
A court ordered {company} to pay ${amount} million in damages for patent infringement.
A court moved the next hearing in a case that involves {company} from Tuesday to Thursday.

{company} paid off its last loan early and is now free of debt.
{company} breached a loan covenant and is asking lenders for more time.
{company} replaced a maturing loan with a new one of the same size and rate.

Customers of {company} renewed at a record rate, and churn dropped by {percent}%.
Customers are leaving {company} faster than a year ago; churn climbed by {percent}%.
Customers of {company} can now choose between {count} languages on its support page.

The new factory of {company} reached full output ahead of plan and below budget.
The new factory of {company} is a year late and ${amount} million over budget.
The new factory of {company} will be built by the same contractor as the old one.

Shares of {company} jumped {percent}% after it lifted its profit target.
Shares of {company} tumbled {percent}% after it warned on profit.
Shares of {company} closed little changed in thin trading ahead of a holiday.

{company} gained market share in every region for the {quarter} quarter in a row.
{company} lost market share in every region as cheaper rivals moved in.
{company} reports market share for {count} regions and will keep doing so.

Margins at {company} widened by {percent}% as costs for raw material eased.
Margins at {company} shrank by {percent}% as it could not pass on higher costs.
Margins at {company} were in line with both the last quarter and its own guidance.

The loss at {company} was much smaller than feared, and it expects a profit next year.
The profit at {company} was far below hopes, and it expects a loss next year.
The accounts of {company} will from now on follow the calendar year.

{company} named a widely admired industry veteran as chief executive, and investors cheered.
The chief executive of {company} quit without notice amid a dispute over the accounts.
The chief executive of {company} will speak at an industry conference in {year}.

An audit cleared {company} of all allegations made by a short seller.
An audit found that {company} had overstated its sales by ${amount} million.
An audit firm was reappointed by {company} for another year, as in each of the past {count} years.

{company} agreed to sell a weak division at twice its book value.
{company} had to write off ${amount} million on a division that nobody would buy.
{company} renamed one of its divisions; its staff and products stay as they are.

Demand for the latest device of {company} outran supply within {count} days.
The latest device of {company} was recalled after {count} reports of fire.
The latest device of {company} comes in {count} colours and goes on sale in spring.

{company} expects savings of ${amount} million a year from its merger, more than it first promised.
The merger that was to save {company} ${amount} million a year has been blocked.
{company} and its merger partner have filed the forms that the authorities require.

Order books at {company} are the fullest in a decade, with {count} months of work in hand.
Order books at {company} have emptied, and {count} plants will work short hours.
Order books at {company} are published on the second Monday of each month.

A strike at {company} ended quickly with a deal that both sides praised.
A strike has shut all plants of {company} and costs it ${amount} million a week.
A wage agreement at {company} runs until the end of {year}; talks begin after that.

Several brokers raised their price targets for {company} by up to {percent}%.
Several brokers told clients to sell {company}, cutting targets by up to {percent}%.
Several brokers started covering {company} with hold ratings and targets near the current price.

{company} freed up ${amount} million of cash by running down excess stock.
{company} burnt through ${amount} million of cash and has funds for {count} months only.
{company} keeps its cash with the same {count} banks as in earlier years.

Early trial data for the heart drug of {company} were better than anyone had dared to hope.
The heart drug of {company} failed its last trial, and development stops.
The heart drug of {company} will be tested on {count} hundred patients; results are due in {year}.

Tariffs on goods that {company} exports were scrapped, opening a large market again.
New tariffs will wipe out most of the profit that {company} makes abroad.
Tariff codes for the goods of {company} were renumbered; the rates are unchanged.

{company} restored service within an hour and drew praise for how it handled the outage.
Hackers stole data on {count} million clients of {company}, which now faces fines.
{company} moved its website to another provider over the weekend, as announced.

Insiders at {company} bought shares worth ${amount} million, their largest purchase in years.
Insiders at {company} dumped shares worth ${amount} million days before the warning.
Insiders at {company} reported no trades in the {quarter} quarter.

{company} doubled its guidance for cash flow, thanks to strong sales in Asia.
{company} withdrew its guidance, blaming weak sales in Asia.
{company} repeated its guidance and gave no further comment on sales in Asia.

Bad loans at {company} fell to the lowest level in {count} years.
Bad loans at {company} rose to the highest level in {count} years.
Bad loans at {company} stayed at the level of the previous quarter.

A large fund took a stake in {company}, calling it the best run business in its field.
A large fund sold its whole stake in {company}, calling its strategy a dead end.
A large fund told the exchange that it holds {percent}% of {company}, as it did a year ago.

{company} will join the leading share index next month, which should draw new investors.
{company} will be dropped from the leading share index next month after a long slide.
{company} will move its listing from one segment of the exchange to another of the same rank.

Occupancy at the sites of {company} hit a record {occupancy}%, and prices rose too.
Occupancy at the sites of {company} sank to {occupancy}% despite heavy discounts.
Occupancy at the sites of {company} was {occupancy}%, the same as in the year before.

Government subsidies will cover a third of the new plant that {company} plans.
The government withdrew the subsidies on which the new plant of {company} depends.
The government published the rules for subsidies; {company} is still reading them.

Fuel costs at {company} dropped {percent}%, and it keeps most of the gain.
Fuel costs at {company} soared {percent}%, and hedges cover little of it.
Fuel costs at {company} are hedged for the rest of {year}, so nothing changes.

Investors rushed for the new bonds of {company}: demand was {count} times the offer.
{company} had to cancel a bond sale because hardly any investor wanted the paper.
{company} has bonds due in {year} and pays interest on them twice a year.

{company} hired {count} hundred engineers to keep up with booming demand.
{company} will cut {count} hundred jobs as demand dries up.
{company} employs {count} hundred people, about as many as last year.

Inventory at {company} sold out at full price before the season had ended.
Unsold inventory piled up at {company}, forcing price cuts of {percent}%.
Inventory at {company} is counted twice a year, in June and in December.

A patent ruling gives {company} sole rights to its best seller for {count} more years.
A patent ruling lets copies of the best seller of {company} into the market at once.
A patent application by {company} was published in the usual gazette.

Same-store sales at {company} grew {percent}%, well ahead of every competitor.
Same-store sales at {company} slid {percent}%, the worst showing in its field.
Same-store sales at {company} will be reported monthly, no longer weekly.

{company} settled with tax authorities and gets ${amount} million back.
{company} owes ${amount} million in back taxes, authorities have ruled.
{company} filed its tax return for {year} and expects its usual rate.

Storm damage at {company} was slight, insurance covers it, and output is already above plan.
Storm damage closed the main site of {company} for months, and insurance covers little of it.
Storm drills were held at the sites of {company}, as they are every autumn.
"""
)

_TRAINING = table.groups(
    """
Profits at {company} surged {percent}%, and managers see more to come.
Profits at {company} collapsed by {percent}%, and managers see no relief.
{company} will hold its annual meeting in the same hall as last year.

{company} landed a contract worth ${amount} million that rivals had fought hard for.
A client cancelled a contract worth ${amount} million with {company}.
{company} is one of {count} bidders for a contract that will be awarded next year.

Lenders cut the interest that {company} pays, as its finances have improved so much.
{company} cannot repay a ${amount} million note and may file for bankruptcy.
{company} pays a fixed interest rate on its loans until {year}.

Investigators found nothing wrong at {company} and closed the case.
Police searched the offices of {company} in a bribery case.
{company} moved its head office to another floor of the same building.

The app of {company} topped the charts and brought in {count} million new users.
Users deleted the app of {company} in droves after a privacy scandal.
The app of {company} got a new icon.

{company} lifted its full-year target for the {quarter} time.
{company} lowered its full-year target for the {quarter} time.
{company} kept its full-year target.

Buyers queued round the block for the new model of {company}.
The new model of {company} gathers dust in the showrooms.
The new model of {company} is as long and as wide as the old one.

The stock of {company} rallied {percent}% to a record high.
The stock of {company} sank {percent}% to its lowest in {count} years.
The stock of {company} traded within a narrow range all week.

{company} turned its first profit, a year sooner than planned.
{company} slid back into the red after only {count} months of profit.
{company} changed the layout of its quarterly report.

A cheaper process halves what {company} spends on each unit.
A fault in its process makes {company} scrap every tenth unit.
{company} described its process in a trade magazine.

A takeover bid values {company} {percent}% above its market price.
The bidder walked away from {company} after a look at its books.
{company} declined to comment on talk of a takeover.

Analysts praised the spending discipline of {company} and upgraded the stock.
Analysts lost patience with {company} and downgraded the stock.
Analysts will visit {company} on the usual day in autumn.

Oil found by {company} will add ${amount} million a year to earnings.
The well drilled by {company} for ${amount} million came up dry.
A survey ship chartered by {company} left port on schedule.

{company} was cleared to enter a market of {count} million households.
{company} was banned from a market of {count} million households.
{company} has served the same {count} cities since it was founded.

Warranty claims at {company} dropped sharply, freeing ${amount} million of provisions.
Warranty claims at {company} exploded, and it set aside ${amount} million.
Warranty terms at {company} are printed on the back of the receipt.

Key staff signed long contracts with {company}, ending months of doubt.
Key staff deserted {company} for a rival and took clients along.
Staff at {company} may work from home on Fridays, as before.
"""
)

SUITE = tuple(Theme(*tellings) for tellings in _SUITE)
TRAINING = tuple(Theme(*tellings) for tellings in _TRAINING)
